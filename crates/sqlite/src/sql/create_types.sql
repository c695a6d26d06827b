-- Creates the event types by id. No binds.
CREATE TABLE types (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL
) STRICT;
