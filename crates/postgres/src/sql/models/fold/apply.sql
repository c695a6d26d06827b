-- Applies a range of positions. $1 int: the partition. $2 bigint: after. $3 bigint: up to. $4 int: events at most. $5 int:
-- the worker. $6 int: workers. $7 timestamptz: occurred until. Placeholder: {build}.
SELECT _pacioli_position, _pacioli_events FROM {build}.apply($1, $2, $3, $4, $5, $6, $7)
