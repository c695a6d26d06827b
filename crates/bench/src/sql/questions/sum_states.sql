-- No binds.
SELECT count(*), sum(events), max(CAST(state ->> 'amount' AS BIGINT)) FROM rewind_streams
