-- Deletes a build. Binds: ?1 name, ?2 number.
DELETE FROM builds WHERE name = ?1 AND number = ?2
