-- Creates the one row that says how much of the log the complete runs cover. No binds.
CREATE TABLE index_state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    generation INTEGER NOT NULL,
    watermark TEXT NOT NULL
) STRICT;
