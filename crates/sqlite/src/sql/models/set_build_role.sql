-- Changes what a build is for. Binds: ?1 name, ?2 number, ?3 role, ?4 served_at, which is kept where it is NULL.
UPDATE builds SET role = ?3, served_at = ifnull(?4, served_at) WHERE name = ?1 AND number = ?2
