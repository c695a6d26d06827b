-- Remembers which definitions are in place. $1 text: their hash. $2 int: their version.
UPDATE migrations SET definitions = $1, definitions_version = $2
