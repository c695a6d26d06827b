-- Counts the sessions of others that this role may not look into. No binds.
SELECT count(*) FROM pg_stat_activity WHERE usesysid IS NOT NULL AND backend_type IS NULL
