-- Lists where a build stands. No binds. Result: worker, partition, position, events, epoch.
SELECT worker, partition, position, events, (SELECT epoch FROM pacioli_build)
FROM pacioli_progress ORDER BY worker, partition
