-- Reads up to where migrations were applied, which definitions there are and of which version. No binds.
SELECT max(version), (array_agg(definitions ORDER BY version DESC))[1], max(definitions_version) FROM migrations
