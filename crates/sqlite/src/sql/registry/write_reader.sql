-- Writes down that a reader read. Binds: ?1 name, ?2 types, ?3 categories, ?4 understands, ?5 read_at, ?6 checkpoint,
-- ?7 waits_for.
INSERT INTO pacioli_schema_readers (name, types, categories, understands, read_at, checkpoint, waits_for)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (name) DO UPDATE
SET types = excluded.types, categories = excluded.categories, understands = excluded.understands,
    read_at = excluded.read_at, checkpoint = excluded.checkpoint, waits_for = excluded.waits_for
