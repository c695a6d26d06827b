-- Reads how many sessions there may be beside those kept for superusers, and how many there are. No binds.
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
       (SELECT sum(numbackends)::int FROM pg_stat_database)
