-- Finds the copy that is nearest to a place and not beyond it. $1 text: the projection. $2 text: the hash of its file. $3
-- int: workers. $4 bigint[]: the positions, a partition each. $5 int: the epoch. Placeholder: {catalogue}.
SELECT c.id, c.schema_name
  FROM {catalogue}.copies c JOIN {catalogue}.copy_progress p USING (id)
 WHERE c.name = $1 AND c.hash = $2 AND c.workers = $3 AND c.epoch = $5
 GROUP BY c.id, c.schema_name
HAVING bool_and(p.position <= ($4::bigint[])[p.part + 1])
 ORDER BY sum(p.position) DESC, c.id DESC LIMIT 1
