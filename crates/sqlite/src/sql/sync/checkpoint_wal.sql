-- Moves what it can from the write-ahead log of an attached build; {schema} is its schema. No binds. Result: as measure_wal.
PRAGMA {schema}.wal_checkpoint(PASSIVE)
