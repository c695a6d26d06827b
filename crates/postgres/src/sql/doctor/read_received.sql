-- Reads how far a standby has received and replayed, in bytes of write-ahead log, whether its replay is paused, and the
-- age in seconds of what it replayed last. No binds.
SELECT (greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn)::float8,
       (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::float8,
       pg_is_wal_replay_paused(),
       coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0)::float8
