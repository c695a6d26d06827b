-- Inserts an idempotency key. Binds: ?1 first_event, ?2 last_event, ?3 key, ?4 content.
INSERT INTO append_keys (first_event, last_event, key, content) VALUES (?1, ?2, ?3, ?4)
