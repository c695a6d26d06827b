-- Inserts a build. Binds: ?1 name, ?2 number, ?3 role, ?4 workers, ?5 began_at, ?6 served_at, ?7 hash, ?8 file, ?9 text.
INSERT INTO builds (name, number, role, state, workers, began_at, served_at, hash, file, text)
VALUES (?1, ?2, ?3, 'running', ?4, ?5, ?6, ?7, ?8, ?9)
