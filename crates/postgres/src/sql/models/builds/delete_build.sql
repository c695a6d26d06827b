-- Forgets a build. $1 text: its name. $2 int: its number. Placeholder: {catalogue}.
DELETE FROM {catalogue}.builds WHERE name = $1 AND number = $2
