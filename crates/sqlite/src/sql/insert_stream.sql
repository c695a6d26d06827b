-- Inserts a stream. Binds: ?1 id, ?2 name.
INSERT INTO streams (id, name) VALUES (?1, ?2)
