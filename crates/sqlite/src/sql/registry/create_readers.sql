-- Creates the readers that gave their names, where they are not there yet. No binds. Lists are JSON arrays of texts.
CREATE TABLE IF NOT EXISTS pacioli_schema_readers (
    name TEXT PRIMARY KEY,
    types TEXT NOT NULL,
    categories TEXT NOT NULL,
    understands TEXT NOT NULL,
    read_at INTEGER NOT NULL,
    checkpoint TEXT,
    waits_for TEXT
) STRICT, WITHOUT ROWID;
