-- Reads a setting of the store. Binds: ?1 key. Result: value.
SELECT value FROM meta WHERE key = ?1
