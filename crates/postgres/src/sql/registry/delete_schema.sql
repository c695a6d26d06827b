-- Takes a schema out of the registry. $1 text: the type. $2 int: the version.
DELETE FROM schemas WHERE type = $1 AND version = $2
