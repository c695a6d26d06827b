-- Lists the idempotency keys of a partition behind an event. Binds: ?1 after, ?2 last. Result: first_event, key.
SELECT first_event, key FROM append_keys WHERE first_event > ?1 AND first_event <= ?2
