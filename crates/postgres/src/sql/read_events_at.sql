-- Reads single events. $1 int: the partition. $2 bigint[]: their positions.
SELECT e.position, e.version, e.recorded_at, e.occurred_at, e.id, e.schema_version, e.stream, e.type, e.data IS NOT NULL,
       e.data, e.raw, e.metadata, e.tags
  FROM events e WHERE e.part = $1 AND e.position = ANY ($2)
