-- Begins the progress of a worker in a partition at its start. Binds: ?1 worker, ?2 partition.
INSERT INTO pacioli_progress (worker, partition, position, events) VALUES (?1, ?2, 0, 0)
