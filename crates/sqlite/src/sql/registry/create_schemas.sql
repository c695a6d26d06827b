-- Creates the registered schemas where they are not there yet: a store of before there were schemas gets them with the first
-- change of its registry. No binds. The prefix keeps the names apart from those of projections, which are open beside them.
CREATE TABLE IF NOT EXISTS pacioli_schemas (
    event_type TEXT NOT NULL,
    version INTEGER NOT NULL,
    semver TEXT NOT NULL,
    id INTEGER NOT NULL,
    format TEXT NOT NULL,
    text TEXT NOT NULL,
    needs TEXT,
    upcaster TEXT,
    is_deleted INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    registered_by TEXT,
    PRIMARY KEY (event_type, version)
) STRICT;
