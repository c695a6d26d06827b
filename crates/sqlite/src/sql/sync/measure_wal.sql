-- Measures the write-ahead log of an attached build; {schema} is its schema. No binds. Result: busy, pages, pages moved.
PRAGMA {schema}.wal_checkpoint(NOOP)
