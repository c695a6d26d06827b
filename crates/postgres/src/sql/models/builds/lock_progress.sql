-- Waits until nobody advances a build, and lets nobody until this transaction ends. $1 text: its name. $2 int: its number.
-- Placeholder: {catalogue}.
SELECT worker, part, position FROM {catalogue}.progress WHERE name = $1 AND number = $2 ORDER BY worker, part FOR UPDATE
