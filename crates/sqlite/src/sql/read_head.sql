-- Reads the last position of a partition. Binds: ?1 before its first, ?2 its highest possible. Result: the position, or no row.
SELECT position, recorded_at FROM log WHERE position > ?1 AND position <= ?2 ORDER BY position DESC LIMIT 1
