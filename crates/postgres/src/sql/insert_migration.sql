-- Remembers a migration that was applied. $1 int: its number. $2 text: its name.
INSERT INTO migrations (version, name) VALUES ($1, $2)
