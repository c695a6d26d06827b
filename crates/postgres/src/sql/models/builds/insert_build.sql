-- Writes down a build. $1 text: its name. $2 int: its number. $3 text: its schema. $4 bigint: the version. $5 text: the
-- mode. $6 text: the file, $7 text: its text, $8 text: its hash. $9 int: workers. $10 text: its role. $11 int: the epoch.
-- Placeholder: {catalogue}.
INSERT INTO {catalogue}.builds (name, number, schema_name, version, mode, file, text, hash, workers, role, state, epoch, served_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'running', $11, CASE WHEN $10 = 'serving' THEN clock_timestamp() END)
RETURNING began_at, served_at
