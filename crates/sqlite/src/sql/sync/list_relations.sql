-- Lists the tables and views of a schema; {schema} is its name. No binds. Result: name.
SELECT name FROM {schema}.sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
