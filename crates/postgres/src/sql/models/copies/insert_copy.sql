-- Writes down a copy. $1 bigint: its number. $2 text: the projection. $3 text: the hash of its file. $4 int: workers. $5
-- text: its schema. $6 int: the epoch. Placeholder: {catalogue}.
INSERT INTO {catalogue}.copies (id, name, hash, workers, schema_name, epoch) OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5, $6)
