-- Notes an event that is passed over. Binds: ?1 partition, ?2 position.
INSERT INTO pacioli_skipped (partition, position) VALUES (?1, ?2) ON CONFLICT DO NOTHING
