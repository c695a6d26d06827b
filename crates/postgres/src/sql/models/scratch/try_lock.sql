-- Takes the lock of a schema that is to be thrown away, for this transaction, unless somebody uses it. $1 text: the
-- catalogue's schema. $2 bigint: its id.
SELECT pg_try_advisory_xact_lock(hashtextextended($1 || ' scratch ' || $2::bigint, 0))
