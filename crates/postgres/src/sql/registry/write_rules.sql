-- Sets what the functions for SQL hold data against. $1 text: the type. $2 int: the version. $3 text: the rules. $4 text: why
-- there are none.
UPDATE schemas SET rules = $3::text::jsonb, sql_door = $4 WHERE type = $1 AND version = $2
