-- Answers only inside a transaction that has not failed. $1 int: the partition. $2 bigint: the batch's first position.
SELECT last_pos FROM commits WHERE part = $1 AND first_pos = $2
