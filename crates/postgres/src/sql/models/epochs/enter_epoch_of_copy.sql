-- Brings a copy into an epoch. $1 bigint: the copy. $2 int: the epoch. Placeholder: {catalogue}.
UPDATE {catalogue}.copies SET epoch = $2 WHERE id = $1
