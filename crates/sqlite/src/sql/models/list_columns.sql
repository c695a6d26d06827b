-- Lists the columns of a relation that are not hidden. Binds: ?1 relation. Result: name, declared type.
SELECT name, ifnull(type, '') FROM pragma_table_xinfo(?1) WHERE hidden <> 1
