-- Creates the packed blocks of all runs; id is run << 24 | block number. No binds.
CREATE TABLE index_blocks (
    id INTEGER PRIMARY KEY,
    entries BLOB NOT NULL
) STRICT;
