-- Creates the relation `batch`, the events of one partition that are applied together. No binds.
CREATE TEMP TABLE IF NOT EXISTS batch (
    partition INTEGER,
    position INTEGER PRIMARY KEY,
    stream TEXT,
    category TEXT,
    key TEXT,
    version INTEGER,
    type TEXT,
    schema_version INTEGER,
    id TEXT,
    data TEXT,
    metadata TEXT,
    tags TEXT,
    actor TEXT,
    occurred_at TEXT,
    recorded_at TEXT
)
