-- Creates the builds. No binds. A projection may fill several builds; one serves, and one is kept. Times are microseconds since 1970.
CREATE TABLE builds (
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('filling', 'serving', 'kept')),
    state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'failed')),
    failed_partition INTEGER,
    failed_position INTEGER,
    failed_error TEXT,
    failed_at INTEGER,
    workers INTEGER NOT NULL,
    began_at INTEGER NOT NULL,
    served_at INTEGER,
    hash TEXT NOT NULL,
    file TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (name, number)
) STRICT
