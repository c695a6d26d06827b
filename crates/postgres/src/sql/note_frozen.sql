-- Notes that a chunk was frozen. $1 int: the chunk.
UPDATE chunks SET frozen_at = clock_timestamp() WHERE chunk = $1
