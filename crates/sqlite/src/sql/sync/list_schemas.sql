-- Lists the schemas of a connection. No binds. Result: name.
SELECT name FROM pragma_database_list
