-- Creates the idempotency keys by the first event stored under each. No binds.
CREATE TABLE append_keys (
    first_event INTEGER PRIMARY KEY,
    last_event INTEGER NOT NULL,
    key BLOB NOT NULL,
    content BLOB NOT NULL
) STRICT;
