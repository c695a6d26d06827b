-- Lists the builds that have a file. No binds. Result: name, number.
SELECT name, number FROM builds
