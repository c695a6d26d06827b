-- Lists what takes room on disk: heaps with what they keep beside them, and indexes, each summed up over its chunks or
-- periods. $1 text: the schema.
WITH tables AS (
    SELECT c.oid, regexp_replace(c.relname, '_[cp][0-9]+$', '') AS name
      FROM pg_class c
     WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r'
), parts AS (
    SELECT name || ', heap' AS part, pg_table_size(oid) AS bytes FROM tables
    UNION ALL
    SELECT t.name || ', index on ' || replace(regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', ''), '"', ''),
           pg_relation_size(i.indexrelid)
      FROM tables t
      JOIN pg_index i ON i.indrelid = t.oid
)
SELECT part, sum(bytes)::bigint FROM parts GROUP BY part HAVING sum(bytes) > 0 ORDER BY 2 DESC, 1
