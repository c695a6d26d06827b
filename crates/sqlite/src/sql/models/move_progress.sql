-- Moves a worker on in a partition. Binds: ?1 worker, ?2 partition, ?3 position, ?4 events applied.
UPDATE pacioli_progress SET position = ?3, events = events + ?4 WHERE worker = ?1 AND partition = ?2
