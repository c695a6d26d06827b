-- Creates the streams by id, in the order in which they began. No binds.
CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL
) STRICT;
