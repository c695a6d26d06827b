-- Creates the columns of the relation `events`, without a row, where statements are taken apart. No binds.
CREATE TABLE events (
    partition INTEGER,
    position INTEGER,
    stream TEXT,
    category TEXT,
    key TEXT,
    version INTEGER,
    type TEXT,
    schema_version INTEGER,
    id TEXT,
    data ANY,
    metadata TEXT,
    tags TEXT,
    occurred_at TEXT,
    recorded_at TEXT
) STRICT
