-- Lets one session at a time decide about a lease, there or not. $1 text: the schema. $2 text: the lease's name.
SELECT pg_advisory_xact_lock(hashtextextended($1 || ' lease ' || $2, 0))
