-- Creates the log, append-only and by rowid, which is partition << 48 | position. No binds. Data comes last, so that an
-- envelope is read without the pages a large payload overflows to.
CREATE TABLE log (
    position INTEGER PRIMARY KEY,
    stream_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    type_id INTEGER NOT NULL,
    schema_version INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    occurred_at INTEGER,
    hash INTEGER NOT NULL,
    id BLOB NOT NULL,
    stream TEXT NOT NULL,
    tags TEXT,
    metadata TEXT,
    data ANY NOT NULL
) STRICT;
