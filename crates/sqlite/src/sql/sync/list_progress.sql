-- Lists where an attached build stands; {schema} is its schema. No binds. Result: worker, partition, position.
SELECT worker, partition, position FROM {schema}.pacioli_progress ORDER BY worker, partition
