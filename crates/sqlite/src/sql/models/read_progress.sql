-- Reads where a worker stands in a partition. Binds: ?1 worker, ?2 partition. Result: position.
SELECT position FROM pacioli_progress WHERE worker = ?1 AND partition = ?2
