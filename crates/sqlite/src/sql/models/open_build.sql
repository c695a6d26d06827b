-- Settings of a connection that writes a build. No binds. Commits are not synced one by one: rows and progress lie in one file,
-- so a build that lost its last commits at a power cut is behind, and takes the same events again.
PRAGMA page_size = 4096;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA wal_autocheckpoint = 4000;
PRAGMA journal_size_limit = 67108864;
PRAGMA mmap_size = 0;
PRAGMA cell_size_check = ON;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -65536;
PRAGMA trusted_schema = OFF;
