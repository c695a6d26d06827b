-- Stores a block. Binds: ?1 id, ?2 entries.
INSERT INTO index_blocks (id, entries) VALUES (?1, ?2)
