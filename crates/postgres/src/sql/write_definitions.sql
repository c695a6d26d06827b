-- Remembers which definitions are in place. $1 text: their hash.
UPDATE migrations SET definitions = $1
