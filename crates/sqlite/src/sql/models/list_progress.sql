-- Lists where a build stands. No binds. Result: worker, partition, position, events.
SELECT worker, partition, position, events FROM pacioli_progress ORDER BY worker, partition
