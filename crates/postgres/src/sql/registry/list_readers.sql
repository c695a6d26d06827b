-- Lists the readers that gave their names. No binds.
SELECT name, types, categories, understands, read_at, checkpoint, waits_for FROM schema_readers ORDER BY name
