-- Applies events and moves the progress. $1 text: the projection. $2 int: the build. $3 int: the worker. $4 int: the partition.
-- $5 bigint: from where. $6 bigint: to this position at most. $7 int: events at most. Placeholder: {catalogue}.
SELECT new_position, applied FROM {catalogue}.advance($1, $2, $3, $4, $5, $6, $7)
