-- Rolls back. No binds.
ROLLBACK
