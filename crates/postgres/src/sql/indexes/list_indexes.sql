-- Lists the indexes that were asked for: name, definition, bytes, the chunks that have it, the chunks there are. No binds.
SELECT n.name, n.definition, coalesce(sum(pg_relation_size(x.oid)), 0)::bigint, count(i.indexrelid), count(*)
  FROM indexes n CROSS JOIN chunks c
  LEFT JOIN pg_class x ON x.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'events'::regclass)
                      AND x.relname = 'events_c' || lpad(c.chunk::text, 6, '0') || '_' || n.name
  LEFT JOIN pg_index i ON i.indexrelid = x.oid AND i.indisvalid AND i.indisready
 GROUP BY n.name, n.definition ORDER BY n.name
