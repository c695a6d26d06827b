-- No binds; {table} is the table.
SELECT CAST(coalesce(sum(events), 0) AS BIGINT) AS events FROM {table}
