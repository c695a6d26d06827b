-- As checkpoint_wal, but waits for readers, so that the write-ahead log begins anew. No binds. Result: as measure_wal.
PRAGMA {schema}.wal_checkpoint(RESTART)
