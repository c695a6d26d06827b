-- Lists all runs, oldest generation first. No binds. Result: the columns of index_runs.
SELECT run, kind, level, entries, blocks, generation_from, generation_to, complete FROM index_runs ORDER BY generation_from, run
