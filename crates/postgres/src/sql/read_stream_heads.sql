-- Reads where streams stand. $1 int: the partition. $2 text[]: the streams.
SELECT s.stream, s.version, s.last_chunk FROM streams s WHERE s.part = $1 AND s.stream = ANY ($2)
