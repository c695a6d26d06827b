-- No binds.
SELECT type, sum(CAST(data ->> 'amount' AS BIGINT)) FROM events GROUP BY type
