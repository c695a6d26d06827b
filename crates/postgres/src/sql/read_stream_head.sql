-- Reads where a stream stands. $1 int: the partition. $2 text: the stream.
SELECT version FROM streams WHERE part = $1 AND stream = $2
