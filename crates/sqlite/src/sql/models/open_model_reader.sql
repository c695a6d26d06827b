-- Settings of a connection that reads read models. No binds. What it sorts goes to files, so that no query takes the memory.
PRAGMA mmap_size = 0;
PRAGMA cell_size_check = ON;
PRAGMA temp_store = FILE;
PRAGMA cache_size = -8192;
PRAGMA trusted_schema = OFF;
