-- Lists the columns of a table whose rows are compared. Binds: ?1 table. Result: name, declared type, place in the primary key from 1.
SELECT name, ifnull(type, ''), pk FROM pragma_table_xinfo(?1) WHERE hidden <> 1
