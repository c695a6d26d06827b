-- Inserts an event type. Binds: ?1 id, ?2 name.
INSERT INTO types (id, name) VALUES (?1, ?2)
