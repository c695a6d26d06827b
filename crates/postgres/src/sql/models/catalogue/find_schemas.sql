-- Which of two schemas exist, and what each is said to be. $1 text[]: their names.
SELECT n.nspname::text, obj_description(n.oid, 'pg_namespace') FROM pg_namespace n WHERE n.nspname = ANY ($1)
