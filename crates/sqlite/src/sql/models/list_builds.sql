-- Lists the builds. No binds. Result: name, number, role, state, failed_partition, failed_position, failed_error, failed_at,
-- workers, began_at, served_at, hash, file, text.
SELECT name, number, role, state, failed_partition, failed_position, failed_error, failed_at,
    workers, began_at, served_at, hash, file, text
FROM builds ORDER BY name, number
