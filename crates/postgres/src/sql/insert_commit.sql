-- Moves the head. $1 int: the partition. $2 bigint: the first position, $3 bigint: the last. $4 timestamptz: when.
INSERT INTO commits (part, first_pos, last_pos, at) VALUES ($1, $2, $3, $4)
