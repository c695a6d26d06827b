-- Settings of an attached build; {schema} is its schema. No binds. Its commits are not synced: the log's are, before them, so
-- after a power cut the build is where the log is or behind it, and takes what is missing from there.
PRAGMA {schema}.synchronous = NORMAL;
PRAGMA {schema}.journal_size_limit = 67108864;
PRAGMA {schema}.mmap_size = 0;
PRAGMA {schema}.cache_size = -16384;
