-- Lists the chunks, the newest first, and whether an index is there, valid or broken off. $1 text: the index.
SELECT c.chunk, i.indexrelid IS NOT NULL, coalesce(i.indisvalid AND i.indisready, false)
  FROM chunks c
  LEFT JOIN pg_class x ON x.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'events'::regclass)
                      AND x.relname = 'events_c' || lpad(c.chunk::text, 6, '0') || '_' || $1
  LEFT JOIN pg_index i ON i.indexrelid = x.oid
 ORDER BY c.chunk DESC
