-- Reads where the build stands that serves: its number, whether appends write it, its epoch, and of each worker and partition
-- the position and how many events it applied. $1 text: the projection. Placeholder: {catalogue}.
SELECT b.number, b.in_appends, b.epoch, p.worker, p.part, p.position, p.events
  FROM {catalogue}.builds b JOIN {catalogue}.progress p USING (name, number)
 WHERE b.name = $1 AND b.role = 'serving' ORDER BY p.worker, p.part
