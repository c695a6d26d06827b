-- Whether there is such a schema. $1 text: its name.
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)
