-- Settings of a connection that writes a scratch file, which nobody needs once this process is gone. No binds.
PRAGMA page_size = 4096;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA mmap_size = 0;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -65536;
PRAGMA trusted_schema = OFF;
