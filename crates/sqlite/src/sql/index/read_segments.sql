-- Reads the segments of a run in order. Binds: ?1 first id, ?2 first id behind the range. Result: id, fences and filters.
SELECT id, fences_and_filters FROM index_segments WHERE id >= ?1 AND id < ?2 ORDER BY id
