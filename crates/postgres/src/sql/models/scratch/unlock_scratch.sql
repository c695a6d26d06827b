-- Lets a schema be thrown away. $1 text: the catalogue's schema. $2 bigint: its id.
SELECT pg_advisory_unlock(hashtextextended($1 || ' scratch ' || $2::bigint, 0))
