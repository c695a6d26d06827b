-- Waits until no chunk is being made, and keeps others from making one until this transaction ends. $1 text: the schema.
SELECT pg_advisory_xact_lock(hashtextextended($1 || ' chunks', 0))
