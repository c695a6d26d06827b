-- Writes down where a copy stands. $1 bigint: its number. $2 int[]: workers, $3 int[]: partitions, $4 bigint[]: positions.
-- Placeholder: {catalogue}.
INSERT INTO {catalogue}.copy_progress (id, worker, part, position) SELECT $1, p.* FROM unnest($2::int[], $3::int[], $4::bigint[]) p
