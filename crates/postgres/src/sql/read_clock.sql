-- Reads the database's clock. No binds.
SELECT clock_timestamp()
