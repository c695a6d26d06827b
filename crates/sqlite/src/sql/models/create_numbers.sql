-- Creates the last number that was given to a build of each projection: no number is used twice. No binds.
CREATE TABLE numbers (
    name TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID
