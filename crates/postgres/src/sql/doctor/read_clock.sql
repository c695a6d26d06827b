-- Reads the database's clock, in milliseconds since 1970. No binds.
SELECT extract(epoch FROM clock_timestamp())::float8 * 1000
