-- Begins what the projections do for some appends. No binds.
SAVEPOINT some_appends
