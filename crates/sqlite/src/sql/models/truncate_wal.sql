-- Moves all of the write-ahead log into the database, syncs both, and empties it. No binds. Result: busy, pages, pages moved.
PRAGMA wal_checkpoint(TRUNCATE)
