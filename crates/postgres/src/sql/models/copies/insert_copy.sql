-- Writes down a copy, of the epoch that its build is of. $1 bigint: its number. $2 text: the projection. $3 text: the hash
-- of its file. $4 int: workers. $5 text: its schema. $6 int: the build. Placeholder: {catalogue}.
INSERT INTO {catalogue}.copies (id, name, hash, workers, schema_name, epoch) OVERRIDING SYSTEM VALUE
SELECT $1, $2, $3, $4, $5, b.epoch FROM {catalogue}.builds b WHERE b.name = $2 AND b.number = $6
