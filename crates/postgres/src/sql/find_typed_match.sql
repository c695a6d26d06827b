-- Finds the first event of some types. $1 int: the partition. $2 bigint: after this position. $3 text[]: the types.
SELECT min((SELECT e.position FROM events e
             WHERE e.part = $1 AND e.type = t.type AND e.position > $2 ORDER BY e.position LIMIT 1))
  FROM unnest($3::text[]) t(type)
