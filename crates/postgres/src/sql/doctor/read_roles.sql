-- Reads which of the store's roles there are, who owns the schema, and how the role that logged in stands to them: a
-- member of the owner, of the appender. $1 text: the schema.
SELECT array(SELECT rolname::text FROM pg_roles WHERE rolname ~ ('^' || $1 || '_(owner|appender|reader|projector|replicator|sync)$')),
       n.nspowner::regrole::text,
       pg_has_role(session_user, n.nspowner, 'USAGE'),
       coalesce((SELECT pg_has_role(session_user, oid, 'USAGE') FROM pg_roles WHERE rolname = $1 || '_appender'), false)
  FROM pg_namespace n WHERE n.nspname = $1
