-- Creates the count of what a build passes over because it does not understand it, by type: it moves in the transaction of the
-- rows and the progress. Files of builds that began before it was counted have none. No binds.
CREATE TABLE IF NOT EXISTS pacioli_passed_over (
    type TEXT PRIMARY KEY,
    events INTEGER NOT NULL
) STRICT, WITHOUT ROWID
