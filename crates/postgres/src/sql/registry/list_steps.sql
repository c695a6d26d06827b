-- Lists the functions that were made of upcasters. $1 text: the schema.
SELECT p.proname::text FROM pg_proc p
 WHERE p.pronamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = $1) AND p.proname LIKE 'shape\_step\_%'
