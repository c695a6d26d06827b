-- Asks for an index on every chunk that is made from now on. $1 text: its name. $2 text: its definition.
INSERT INTO indexes (name, definition) VALUES ($1, $2)
