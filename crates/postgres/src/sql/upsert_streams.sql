-- Moves streams on, and begins new ones. $1 int: the partition. $2 text[]: the streams, $3 bigint[]: their versions, $4
-- int[]: their last chunks, $5 bigint[]: the position at which each began, if it begins now.
INSERT INTO streams AS s (part, stream, version, last_chunk, first_pos)
SELECT $1::int, n.* FROM unnest($2::text[], $3::bigint[], $4::int[], $5::bigint[]) n
    ON CONFLICT (part, stream) DO UPDATE SET version = excluded.version, last_chunk = excluded.last_chunk
