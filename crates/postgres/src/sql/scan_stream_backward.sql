-- Reads events of one stream in one chunk, from one version back, and no more bytes than asked for, but one event at least.
-- $1 int: the partition. $2 bigint: the version to begin with. $3 text: the stream. $4 bigint: events at most. $5 bigint:
-- bytes at most. $6 bool: with data. $7, $8 bigint: the chunk's first position, and the first behind it.
SELECT position, version, recorded_at, occurred_at, id, schema_version, stream, type, is_json, data, raw, metadata, tags
  FROM (SELECT e.position, e.version, e.recorded_at, e.occurred_at, e.id, e.schema_version, e.stream, e.type,
               e.data IS NOT NULL AS is_json,
               CASE WHEN $6 THEN e.data END AS data,
               CASE WHEN $6 THEN e.raw END AS raw,
               e.metadata, e.tags,
               coalesce(sum(CASE WHEN $6 THEN coalesce(pg_column_size(e.data), pg_column_size(e.raw)) ELSE 0 END + 256)
                   OVER (ORDER BY e.version DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
          FROM events e
         WHERE e.part = $1 AND e.stream = $3 AND e.version <= $2 AND e.version > $2 - $4 AND e.position >= $7 AND e.position < $8
         ORDER BY e.version DESC LIMIT $4) page
 WHERE before < $5
