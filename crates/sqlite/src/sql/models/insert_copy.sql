-- Inserts a copy. Binds: ?1 file, ?2 name, ?3 hash, ?4 checkpoint, ?5 made_at.
INSERT INTO copies (file, name, hash, checkpoint, made_at) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (file) DO UPDATE SET checkpoint = excluded.checkpoint, made_at = excluded.made_at
