-- Notes which chunks streams have come to. $1 int: the partition. $2 text[]: the streams, $3 int[]: the chunks, $4
-- bigint[]: the first version there.
INSERT INTO stream_chunks (part, stream, chunk, first_version)
SELECT $1::int, c.* FROM unnest($2::text[], $3::int[], $4::bigint[]) c
