-- Lists the schemas that are to be thrown away, the oldest first. No binds. Placeholder: {catalogue}.
SELECT id, schema_name FROM {catalogue}.scratches ORDER BY id
