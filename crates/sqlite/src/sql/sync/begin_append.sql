-- Begins what the projections do for one append. No binds.
SAVEPOINT one_append
