-- Puts something into the write-ahead log, so that this COMMIT waits for synchronous standbys: it vouches for what an
-- earlier transaction, whose answer was lost, has written. No binds.
SELECT pg_logical_emit_message(true, 'pacioli', 'sync')
