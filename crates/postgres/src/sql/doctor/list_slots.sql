-- Lists the slots, with the bytes of write-ahead log that each keeps from being removed. No binds.
SELECT slot_name::text, slot_type, temporary, active, coalesce(wal_status, ''),
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)::float8
  FROM pg_replication_slots ORDER BY slot_name
