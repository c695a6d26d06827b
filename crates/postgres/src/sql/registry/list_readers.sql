-- Lists the readers that gave their names. No binds.
SELECT name, types, categories, understands, read_at, checkpoint, waits_for, live_until FROM schema_readers ORDER BY name
