-- Gives back what lock_index took. $1 text: the schema. $2 text: the name.
SELECT pg_advisory_unlock(hashtextextended($1 || ' index ' || $2, 0))
