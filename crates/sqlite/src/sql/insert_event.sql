-- Inserts an event. Binds: ?1 position, ?2 stream_id, ?3 version, ?4 type_id, ?5 schema_version, ?6 recorded_at,
-- ?7 occurred_at, ?8 hash, ?9 id, ?10 stream, ?11 tags, ?12 metadata, ?13 data.
INSERT INTO log (position, stream_id, version, type_id, schema_version, recorded_at, occurred_at, hash, id, stream, tags, metadata, data)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
