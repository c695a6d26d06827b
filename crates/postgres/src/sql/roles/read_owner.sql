-- Reads who owns the schema, whether that is the store's own role, and who asks. $1 text: the schema.
SELECT nspowner::regrole::text, nspowner::regrole::text = $1 || '_owner', current_user::text FROM pg_namespace WHERE nspname = $1
