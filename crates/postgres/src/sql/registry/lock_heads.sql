-- Keeps everybody from appending, in the order of partitions. No binds.
SELECT part FROM heads ORDER BY part FOR NO KEY UPDATE
