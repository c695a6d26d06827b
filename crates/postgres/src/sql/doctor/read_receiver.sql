-- Reads the state of a standby's receiver, and what its primary knows it by; no row where none runs. No binds.
SELECT coalesce(status, ''), coalesce(substring(conninfo FROM '(?:^|\s)application_name=(\S+)'), nullif(current_setting('cluster_name'), ''), 'walreceiver')
  FROM pg_stat_wal_receiver
