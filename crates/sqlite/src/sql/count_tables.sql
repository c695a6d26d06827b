-- Counts tables of a name. Binds: ?1 name. Result: 0 or 1.
SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1
