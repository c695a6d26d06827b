-- Writes down how a build is. $1 text: its name. $2 int: its number. $3 text: the state. $4 int, $5 bigint: the event it
-- failed at. $6 text: the error. $7 timestamptz: when. Placeholder: {catalogue}.
UPDATE {catalogue}.builds
   SET state = $3, failed_part = $4, failed_position = $5, failed_error = $6, failed_at = $7
 WHERE name = $1 AND number = $2
