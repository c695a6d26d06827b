-- Asks for an index no more. $1 text: its name.
DELETE FROM indexes WHERE name = $1
