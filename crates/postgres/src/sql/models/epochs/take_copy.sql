-- Forgets a copy that is not of the epoch. $1 bigint: the copy. $2 int: the epoch. Placeholder: {catalogue}.
DELETE FROM {catalogue}.copies WHERE id = $1 AND epoch <> $2 RETURNING schema_name
