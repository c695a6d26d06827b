-- Stores a segment. Binds: ?1 id, ?2 fences and filters. Work that is done
-- again after a commit in doubt writes the same again.
INSERT OR REPLACE INTO index_segments (id, fences_and_filters) VALUES (?1, ?2)
