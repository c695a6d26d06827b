-- Reads the definition of an index. $1 text: its name.
SELECT definition FROM indexes WHERE name = $1
