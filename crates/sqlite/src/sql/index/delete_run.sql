-- Deletes the catalogue row of a run that has no block left. Binds: ?1 run.
DELETE FROM index_runs WHERE run = ?1
