-- Copies rows into the plain table. No binds: the rows follow.
COPY copied (part, schema_version, position, version, recorded_at, occurred_at, id, stream, type, data, raw, metadata, tags)
FROM STDIN (FORMAT binary)
