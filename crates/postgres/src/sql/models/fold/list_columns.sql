-- Lists the tables of a schema with the columns that are stored and not computed, in the order in which the tables were
-- made. $1 text: the schema.
SELECT c.relname::text, string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum)
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
 GROUP BY c.oid, c.relname ORDER BY c.oid
