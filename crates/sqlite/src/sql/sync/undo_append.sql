-- Undoes what the projections did for one append. No binds.
ROLLBACK TO one_append
