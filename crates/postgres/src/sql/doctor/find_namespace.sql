-- Finds a schema. $1 text: its name.
SELECT to_regnamespace($1)::oid
