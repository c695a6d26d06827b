-- Reads the database's clock, whether projections run in appends, and how often the registry of schemas was changed. No binds.
SELECT clock_timestamp(), EXISTS (SELECT FROM sync_builds), (SELECT generation FROM registry)
