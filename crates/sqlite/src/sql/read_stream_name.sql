-- Reads a stream's name. Binds: ?1 id. Result: name.
SELECT name FROM streams WHERE id = ?1
