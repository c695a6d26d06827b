-- Lets one session at a time make or drop an index; false where another one does. $1 text: the schema. $2 text: the name.
SELECT pg_try_advisory_lock(hashtextextended($1 || ' index ' || $2, 0))
