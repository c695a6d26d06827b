-- Creates the events that somebody passed over: a fold that is compared with the build passes over them too. No binds.
CREATE TABLE pacioli_skipped (
    partition INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (partition, position)
) STRICT, WITHOUT ROWID
