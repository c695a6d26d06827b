-- No binds.
SELECT count(*), sum(events), max(amount) FROM bench_accounts
