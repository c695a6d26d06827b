-- Appends events. $1 int: the partition. $2 timestamptz: when they were recorded. $3 to $13: one array a column.
INSERT INTO events (part, recorded_at, schema_version, position, version, occurred_at, id, stream, type, data, raw, metadata, tags)
SELECT $1::int, $2::timestamptz, e.schema_version, e.position, e.version, e.occurred_at, e.id, e.stream, e.type, e.data, e.raw, e.metadata::json,
       e.tags::text[]
  FROM unnest($3::int[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::uuid[], $8::text[], $9::text[], $10::json[],
              $11::bytea[], $12::text[], $13::text[])
       e(schema_version, position, version, occurred_at, id, stream, type, data, raw, metadata, tags)
