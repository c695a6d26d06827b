-- Commits. No binds.
COMMIT
