-- Reads an idempotency key. Binds: ?1 first_event. Result: last_event, content.
SELECT last_event, content FROM append_keys WHERE first_event = ?1
