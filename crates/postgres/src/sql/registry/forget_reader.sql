-- Forgets a reader. $1 text: its name.
DELETE FROM schema_readers WHERE name = $1
