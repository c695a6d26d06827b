-- Applies what a build has not seen yet, while the heads are locked. $1 text: the projection. $2 int: the build. $3 int:
-- workers. Placeholders: {catalogue}, {schema}, {build}.
WITH behind AS (
    SELECT p.worker, p.part, p.position, h.head
      FROM {catalogue}.progress p,
           LATERAL (SELECT coalesce((SELECT c.last_pos FROM {schema}.commits c WHERE c.part = p.part ORDER BY c.first_pos DESC LIMIT 1), 0) AS head) h
     WHERE p.name = $1 AND p.number = $2 AND h.head > p.position
), applied AS MATERIALIZED (
    SELECT b.worker, b.part, a._pacioli_position AS position, a._pacioli_events AS events
      FROM behind b, LATERAL {build}.apply(b.part, b.position, b.head, 2147483647, b.worker, $3::int, NULL) a
)
UPDATE {catalogue}.progress p SET position = applied.position, events = p.events + applied.events
  FROM applied WHERE p.name = $1 AND p.number = $2 AND p.worker = applied.worker AND p.part = applied.part
