-- Lists the tables of the log and their chunks and periods: whether the guard is on each, and what else acts on it. $1 oid:
-- the schema. $2 text[]: the tables that have a guard. $3 text[]: those that have none.
WITH roots AS (
    SELECT oid, relname = ANY ($2) AS is_guarded FROM pg_class WHERE relnamespace = $1 AND relname = ANY ($2 || $3)
), tables AS (
    SELECT oid, is_guarded FROM roots
    UNION ALL
    SELECT i.inhrelid, r.is_guarded FROM pg_inherits i JOIN roots r ON r.oid = i.inhparent
), triggers AS (
    SELECT t.tgrelid, t.tgname,
           -- BEFORE, a statement, of UPDATE, DELETE and TRUNCATE; always, whatever session_replication_role says.
           t.tgname = 'append_only' AND t.tgtype = 58 AND t.tgenabled = 'A' AND t.tgqual IS NULL AND p.pronamespace = $1
               AND p.proname = 'refuse_change' AS is_guard
      FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE NOT t.tgisinternal
)
SELECT c.relname::text,
       t.is_guarded AND NOT EXISTS (SELECT FROM triggers g WHERE g.tgrelid = c.oid AND g.is_guard) AS is_open,
       array(SELECT 'trigger ' || g.tgname FROM triggers g WHERE g.tgrelid = c.oid AND g.tgname <> 'append_only'
             UNION ALL SELECT 'rule ' || r.rulename FROM pg_rewrite r WHERE r.ev_class = c.oid
             UNION ALL SELECT 'policy ' || p.polname FROM pg_policy p WHERE p.polrelid = c.oid
             UNION ALL SELECT 'row security' WHERE c.relrowsecurity) AS others
  FROM tables t JOIN pg_class c ON c.oid = t.oid ORDER BY c.relname
