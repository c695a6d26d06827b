-- Syncs the commits that follow. No binds.
PRAGMA synchronous = FULL
