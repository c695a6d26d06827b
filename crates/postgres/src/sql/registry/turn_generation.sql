-- Counts a change of the registry. $1 bigint: how many there were. Returns how many there are.
UPDATE registry SET generation = generation + 1 WHERE generation = $1 RETURNING generation
