-- Counts the chunks that are made beyond a position. $1 bigint: the position.
SELECT count(*)::int FROM chunks, store WHERE chunk > $1 / chunk_events
