-- Settings of the catalogue's connection. No binds. What the catalogue says decides which files there are: it is synced.
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA mmap_size = 0;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -1024;
PRAGMA trusted_schema = OFF;
