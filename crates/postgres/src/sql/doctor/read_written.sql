-- Reads how far a primary has flushed its write-ahead log, and whom its commits wait for. No binds.
SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::float8, current_setting('synchronous_standby_names')
