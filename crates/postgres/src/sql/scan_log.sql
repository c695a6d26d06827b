-- Reads events of one partition in one chunk, and no more bytes than asked for, but one event at least. $1 int: the
-- partition. $2 bigint: after this position. $3 bigint: up to this one. $4 bigint: events at most. $5 bigint: bytes at
-- most. $6 bool: with data. Filters, NULL for any: $7 text[]: types. $8 text[]: categories. $9 text: how the stream's
-- name begins. $10 text[]: tags, all of them.
SELECT position, version, recorded_at, occurred_at, id, schema_version, stream, type, is_json, data, raw, metadata, tags
  FROM (SELECT e.position, e.version, e.recorded_at, e.occurred_at, e.id, e.schema_version, e.stream, e.type,
               e.data IS NOT NULL AS is_json,
               CASE WHEN $6 THEN e.data END AS data,
               CASE WHEN $6 THEN e.raw END AS raw,
               e.metadata, e.tags,
               coalesce(sum(CASE WHEN $6 THEN coalesce(pg_column_size(e.data), pg_column_size(e.raw)) ELSE 0 END + 256)
                   OVER (ORDER BY e.position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
          FROM events e
         WHERE e.part = $1 AND e.position > $2 AND e.position <= $3
           AND ($7::text[] IS NULL OR e.type = ANY ($7))
           AND ($8::text[] IS NULL OR split_part(e.stream, '-', 1) = ANY ($8))
           AND ($9::text IS NULL OR starts_with(e.stream, $9))
           AND ($10::text[] IS NULL OR e.tags @> $10)
         ORDER BY e.position LIMIT $4) page
 WHERE before < $5
