-- Leaves the commits that follow to the next checkpoint to sync. No binds.
PRAGMA synchronous = NORMAL
