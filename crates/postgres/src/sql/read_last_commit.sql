-- Reads the head of a partition, when it was moved there, and the time now. $1 int: the partition.
SELECT c.last_pos, greatest(clock_timestamp(), c.at) FROM commits c WHERE c.part = $1 ORDER BY c.first_pos DESC LIMIT 1
