-- Appends what records a change of the registry, by the same function as everybody in SQL. $1 text: the stream. $2 to $8: one
-- array a column: text types, int schema versions, text data, uuid ids, text metadata, text tags, timestamptz occurred at.
-- Returns the checkpoint, and whether it was in the log already.
SELECT a.checkpoint, a.duplicate
  FROM append($1, 'any', ARRAY(
           SELECT jsonb_build_object(
                      'type', e.type, 'schema_version', e.schema_version, 'data', e.data::jsonb, 'id', e.id,
                      'metadata', (e.metadata::jsonb - 'headers') || coalesce(e.metadata::jsonb -> 'headers', '{}'),
                      'tags', e.tags::text[], 'occurred_at', e.occurred_at)
             FROM unnest($2::text[], $3::int[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::timestamptz[])
                  WITH ORDINALITY e(type, schema_version, data, id, metadata, tags, occurred_at, n)
            ORDER BY e.n)) a
