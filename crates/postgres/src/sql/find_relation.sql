-- Finds a relation. $1 text: its name with its schema.
SELECT to_regclass($1)::text
