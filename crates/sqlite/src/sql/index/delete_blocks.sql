-- Deletes the first blocks of an id range. Binds: ?1 first id, ?2 first id behind the range, ?3 most rows to delete.
DELETE FROM index_blocks WHERE id IN (SELECT id FROM index_blocks WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3)
