-- Runs the `sync` projections over what this transaction appended. $1 int: the partition. $2 bigint: the first position, $3
-- bigint: the last.
SELECT run_sync($1, $2, $3)
