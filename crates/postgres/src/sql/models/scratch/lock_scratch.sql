-- Keeps a schema from being thrown away while this session lives. $1 text: the catalogue's schema. $2 bigint: its id.
SELECT pg_advisory_lock(hashtextextended($1 || ' scratch ' || $2::bigint, 0))
