-- Creates the one row that says which build a file is, and of which epoch its positions are. No binds.
CREATE TABLE pacioli_build (
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    hash TEXT NOT NULL,
    epoch INTEGER NOT NULL
) STRICT
