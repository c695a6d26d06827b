-- Reads events of one partition in order. Binds: ?1 after, ?2 up to and including. Result: the columns of an event.
SELECT position, stream_id, version, type_id, schema_version, recorded_at, occurred_at, hash, id, stream, tags, metadata, data
FROM log WHERE position > ?1 AND position <= ?2 ORDER BY position
