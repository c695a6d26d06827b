-- Reads one event. Binds: ?1 position. Result: the columns of an event.
SELECT position, stream_id, version, type_id, schema_version, recorded_at, occurred_at, hash, id, stream, tags, metadata, data
FROM log WHERE position = ?1
