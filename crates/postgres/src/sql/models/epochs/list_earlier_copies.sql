-- Lists the copies of another epoch than the log's, with how far each has come in each partition. $1 int: the log's.
-- Placeholder: {catalogue}.
SELECT c.id, c.epoch, array_agg(p.position ORDER BY p.part)
  FROM {catalogue}.copies c, LATERAL (SELECT p.part, max(p.position) AS position FROM {catalogue}.copy_progress p WHERE p.id = c.id GROUP BY p.part) p
 WHERE c.epoch <> $1 GROUP BY c.id, c.epoch ORDER BY c.id
