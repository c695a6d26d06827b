-- Applies what lies before an event, moves its worker past it, and remembers that. $1 text: the projection. $2 int: the build. $3 int: the
-- partition. $4 bigint: the event's position. $5 int: workers. Placeholders: {catalogue}, {log}, {build}.
WITH event AS (
    SELECT ((hashtextextended(e.stream, 0) & 9223372036854775807) % $5::int)::int AS worker
      FROM {log} e WHERE e.part = $3 AND e.position = $4
), before AS (
    SELECT p.worker, a._pacioli_events AS applied
      FROM event JOIN {catalogue}.progress p ON p.name = $1 AND p.number = $2 AND p.part = $3 AND p.worker = event.worker,
           LATERAL {build}.apply($3, p.position, $4 - 1, 2147483647, p.worker, $5, NULL) a
     WHERE p.position < $4
), moved AS (
UPDATE {catalogue}.progress p SET position = $4, events = p.events + before.applied
  FROM before WHERE p.name = $1 AND p.number = $2 AND p.part = $3 AND p.worker = before.worker
RETURNING p.worker
)
INSERT INTO {catalogue}.skipped (name, number, part, position) SELECT $1, $2, $3, $4 FROM moved
RETURNING position
