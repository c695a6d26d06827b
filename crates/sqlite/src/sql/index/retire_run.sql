-- Takes a merged-away run out of the index; its blocks are deleted later. Binds: ?1 run.
UPDATE index_runs SET complete = 0 WHERE run = ?1
