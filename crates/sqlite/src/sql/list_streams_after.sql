-- Lists streams in the order in which they began. Binds: ?1 after id. Result: id, name.
SELECT id, name FROM streams WHERE id > ?1 ORDER BY id
