-- Lists the columns of a relation that people query, in order, each with its type as a cast names it. $1 text: the schema,
-- $2 text: the relation.
SELECT a.attname::text, format_type(a.atttypid, -1)
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
