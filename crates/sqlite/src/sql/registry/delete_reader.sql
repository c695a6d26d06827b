-- Forgets a reader. Binds: ?1 name.
DELETE FROM pacioli_schema_readers WHERE name = ?1
