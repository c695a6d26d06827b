-- Gives a build a role. $1 text: its name. $2 int: its number. $3 text: the role. Placeholder: {catalogue}.
UPDATE {catalogue}.builds SET role = $3, served_at = CASE $3 WHEN 'serving' THEN clock_timestamp() ELSE served_at END
 WHERE name = $1 AND number = $2
