-- Lists the workers of a build that are further behind the head than so many positions. $1 text: the projection. $2 int: the
-- build. $3 bigint: how many. Placeholders: {catalogue}, {schema}.
SELECT p.worker, p.part, p.position, h.head
  FROM {catalogue}.progress p,
       LATERAL (SELECT coalesce((SELECT c.last_pos FROM {schema}.commits c WHERE c.part = p.part ORDER BY c.first_pos DESC LIMIT 1), 0) AS head) h
 WHERE p.name = $1 AND p.number = $2 AND h.head - p.position > $3
