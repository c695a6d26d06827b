-- Creates the epochs after the first, each with the heads at which it began. No binds.
CREATE TABLE epochs (
    epoch INTEGER PRIMARY KEY,
    began TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
