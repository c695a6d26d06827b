-- Creates the copies of builds, each a file of its own. No binds. The checkpoint names the epoch it is of.
CREATE TABLE copies (
    file TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    checkpoint TEXT NOT NULL,
    made_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID
