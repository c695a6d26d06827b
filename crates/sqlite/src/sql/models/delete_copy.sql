-- Deletes a copy. Binds: ?1 file.
DELETE FROM copies WHERE file = ?1
