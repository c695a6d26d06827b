-- Reads the database's clock, and whether projections run in appends. No binds.
SELECT clock_timestamp(), EXISTS (SELECT FROM sync_builds)
