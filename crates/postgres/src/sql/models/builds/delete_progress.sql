-- Forgets where a build stood. $1 text: its name. $2 int: its number. Placeholder: {catalogue}.
DELETE FROM {catalogue}.progress WHERE name = $1 AND number = $2
