-- Lets go of advisory locks, which the end of a transaction does not. No binds.
SELECT pg_advisory_unlock_all()
