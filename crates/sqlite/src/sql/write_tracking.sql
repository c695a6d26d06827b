-- Writes where a consumer stands. Binds: ?1 name, ?2 checkpoint.
INSERT INTO tracking (name, checkpoint) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET checkpoint = excluded.checkpoint
