-- Forgets a schema that was thrown away. $1 bigint: its id. Placeholder: {catalogue}.
DELETE FROM {catalogue}.scratches WHERE id = $1 RETURNING schema_name
