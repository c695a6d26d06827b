-- Takes the lock that makes the holder the partition's only writer until its transaction ends, and nothing else: what is
-- decided must be read by later statements. $1 int: the partition.
SELECT epoch, floor_pos FROM heads WHERE part = $1 FOR NO KEY UPDATE
