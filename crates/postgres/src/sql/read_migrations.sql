-- Reads up to where migrations were applied, and which definitions. No binds.
SELECT max(version), (array_agg(definitions ORDER BY version DESC))[1] FROM migrations
