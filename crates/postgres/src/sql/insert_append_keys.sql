-- Remembers keys. $1 int: the partition. $2 timestamptz: when. $3 uuid[], $4 bigint[]: the first position, $5 int[]: how
-- many events, $6 bytea[]: the hash of their content.
INSERT INTO append_keys (part, at, key, first_pos, n, content)
SELECT $1::int, $2::timestamptz, k.* FROM unnest($3::uuid[], $4::bigint[], $5::int[], $6::bytea[]) k
