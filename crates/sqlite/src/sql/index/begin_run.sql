-- Adds an incomplete run. Binds: ?1 kind, ?2 level, ?3 first generation, ?4 last generation. The run's id is the rowid.
INSERT INTO index_runs (kind, level, generation_from, generation_to) VALUES (?1, ?2, ?3, ?4)
