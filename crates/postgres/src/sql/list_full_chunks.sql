-- Lists the chunks that every partition has left behind and that are not frozen yet, for who may freeze them: others would
-- be warned again and again. $1 bigint: the least head.
SELECT chunk FROM chunks, store
 WHERE frozen_at IS NULL AND (chunk + 1) * chunk_events <= $1
   AND (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'events'::regclass)
 ORDER BY chunk
