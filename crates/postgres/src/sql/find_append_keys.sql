-- Finds keys that were used. $1 int: the partition. $2 uuid[]: the keys. $3 timestamptz: no key was used before.
SELECT k.key, k.first_pos, k.n, k.content FROM append_keys k WHERE k.part = $1 AND k.key = ANY ($2) AND k.at >= $3
