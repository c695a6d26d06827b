-- Finds ids that are known. $1 int: the partition. $2 uuid[]: the ids. $3 timestamptz: no id was recorded before.
SELECT k.id, k.position FROM event_ids k WHERE k.part = $1 AND k.id = ANY ($2) AND k.at >= $3
