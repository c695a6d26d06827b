-- Stores a segment. Binds: ?1 id, ?2 fences and filters.
INSERT INTO index_segments (id, fences_and_filters) VALUES (?1, ?2)
