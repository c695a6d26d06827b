-- Reads when an event was recorded. Binds: ?1 position. Result: recorded_at.
SELECT recorded_at FROM log WHERE position = ?1
