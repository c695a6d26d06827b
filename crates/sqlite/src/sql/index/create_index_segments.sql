-- Creates the fences and filters of 32 blocks each; id is run << 24 | segment number. No binds.
CREATE TABLE index_segments (
    id INTEGER PRIMARY KEY,
    fences_and_filters BLOB NOT NULL
) STRICT;
