-- Lists the chunks that hold a stream from a version on, oldest first. $1 int: the partition. $2 text: the stream. $3
-- bigint: the version. $4 bigint: chunks at most.
SELECT c.chunk FROM stream_chunks c
 WHERE c.part = $1 AND c.stream = $2
   AND c.chunk >= coalesce((SELECT max(b.chunk) FROM stream_chunks b
                             WHERE b.part = $1 AND b.stream = $2 AND b.first_version <= $3), 0)
 ORDER BY c.chunk LIMIT $4
