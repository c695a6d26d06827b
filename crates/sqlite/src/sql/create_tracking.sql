-- Creates where tracked consumers stand. No binds.
CREATE TABLE tracking (
    name TEXT PRIMARY KEY,
    checkpoint TEXT NOT NULL
) STRICT, WITHOUT ROWID;
