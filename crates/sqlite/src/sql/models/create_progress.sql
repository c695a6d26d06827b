-- Creates where a build stands, in the file of its rows: both move in one transaction. No binds.
CREATE TABLE pacioli_progress (
    worker INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    position INTEGER NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (worker, partition)
) STRICT, WITHOUT ROWID
