-- Puts every worker of a build at the start of every partition. $1 text: its name. $2 int: its number. $3 int: workers.
-- $4 int: partitions. Placeholder: {catalogue}.
INSERT INTO {catalogue}.progress (name, number, worker, part)
SELECT $1, $2, w, p FROM generate_series(0, $3 - 1) w, generate_series(0, $4 - 1) p
