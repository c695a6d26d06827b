-- Moves what it can from the write-ahead log into the database. No binds. Result: busy, pages in the log, pages moved.
PRAGMA main.wal_checkpoint(PASSIVE)
