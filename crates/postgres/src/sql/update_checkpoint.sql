-- Moves a consumer on, whose row is locked. $1 text: its name. $2 text: where it stands now.
UPDATE checkpoints SET checkpoint = $2, updated_at = clock_timestamp() WHERE name = $1
