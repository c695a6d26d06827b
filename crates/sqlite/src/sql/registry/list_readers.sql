-- Lists the readers that gave their names. No binds. Result: name, types, categories, understands, read_at, checkpoint,
-- waits_for.
SELECT name, types, categories, understands, read_at, checkpoint, waits_for FROM pacioli_schema_readers
