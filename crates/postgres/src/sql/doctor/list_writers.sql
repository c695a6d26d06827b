-- Lists who beside the owner has been given a right to change the log, or to write it without being the appender. $1 oid:
-- the schema. $2 text[]: the tables. $3 text: the schema's name.
WITH tables AS (
    SELECT oid, relname, relowner, relacl FROM pg_class WHERE relnamespace = $1 AND relname = ANY ($2)
    UNION ALL
    SELECT c.oid, c.relname, c.relowner, c.relacl FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class r ON r.oid = i.inhparent
     WHERE r.relnamespace = $1 AND r.relname = ANY ($2)
), rights AS (
    SELECT t.relname, t.relowner, a.grantee, a.privilege_type FROM tables t, aclexplode(t.relacl) a
    UNION ALL
    SELECT t.relname, t.relowner, a.grantee, a.privilege_type
      FROM tables t JOIN pg_attribute c ON c.attrelid = t.oid AND c.attacl IS NOT NULL, aclexplode(c.attacl) a
)
SELECT DISTINCT r.privilege_type || ' on ' || r.relname || ' to ' || CASE r.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(r.grantee) END
  FROM rights r
 WHERE r.grantee <> r.relowner
   AND (r.privilege_type IN ('UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
        OR r.privilege_type = 'INSERT' AND NOT (r.grantee <> 0 AND pg_get_userbyid(r.grantee) = $3 || '_appender'))
 ORDER BY 1
