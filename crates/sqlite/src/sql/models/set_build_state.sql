-- Says how a build is. Binds: ?1 name, ?2 number, ?3 state, ?4 failed_partition, ?5 failed_position, ?6 failed_error, ?7 failed_at.
UPDATE builds
SET state = ?3, failed_partition = ?4, failed_position = ?5, failed_error = ?6, failed_at = ?7
WHERE name = ?1 AND number = ?2
