-- No binds.
SELECT count(*) FROM events WHERE type = 'AccountDeposited'
