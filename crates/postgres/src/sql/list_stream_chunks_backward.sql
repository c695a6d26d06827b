-- Lists the chunks that hold a stream from a version back, newest first. $1 int: the partition. $2 text: the stream. $3
-- bigint: the version. $4 bigint: chunks at most.
SELECT c.chunk FROM stream_chunks c
 WHERE c.part = $1 AND c.stream = $2 AND c.first_version <= $3
 ORDER BY c.chunk DESC LIMIT $4
