-- Stores a block. Binds: ?1 id, ?2 entries. Work that is done
-- again after a commit in doubt writes the same again.
INSERT OR REPLACE INTO index_blocks (id, entries) VALUES (?1, ?2)
