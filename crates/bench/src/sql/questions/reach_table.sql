-- No binds; {table} is the table.
SELECT 1 AS one FROM {table} LIMIT 1
