-- Settings of a connection that only reads. No binds.
PRAGMA query_only = ON;
PRAGMA mmap_size = 0;
PRAGMA cell_size_check = ON;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -8192;
PRAGMA trusted_schema = OFF;
