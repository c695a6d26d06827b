-- As checkpoint_wal, but waits for readers, so that the write-ahead log begins anew. No binds. Result: the same.
PRAGMA main.wal_checkpoint(RESTART)
