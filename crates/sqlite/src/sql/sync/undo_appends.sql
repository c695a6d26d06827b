-- Undoes what the projections did for some appends. No binds.
ROLLBACK TO some_appends
