-- Lets one process migrate at a time. $1 text: the schema.
SELECT pg_advisory_xact_lock(hashtextextended($1 || ' migrations', 0))
