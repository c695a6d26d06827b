-- Makes a run part of the index. Binds: ?1 run, ?2 entries, ?3 blocks.
UPDATE index_runs SET entries = ?2, blocks = ?3, complete = 1 WHERE run = ?1
