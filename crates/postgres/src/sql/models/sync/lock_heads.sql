-- Keeps everybody from appending, in the order of partitions. No binds. Placeholder: {schema}.
SELECT part FROM {schema}.heads ORDER BY part FOR NO KEY UPDATE
