-- Creates what the store knows about itself: format, store id, partitions, name key, whether it is an unopened backup. No binds.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
