-- Counts the chunks that every partition has left behind and that are not frozen yet. $1 bigint: the least head.
SELECT count(*) FROM chunks, store WHERE frozen_at IS NULL AND (chunk + 1) * chunk_events <= $1
