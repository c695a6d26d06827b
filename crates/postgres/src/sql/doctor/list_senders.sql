-- Lists who follows this primary. No binds.
SELECT application_name, coalesce(state, ''), coalesce(sync_state, ''),
       coalesce(extract(epoch FROM flush_lag), 0)::float8, coalesce(extract(epoch FROM replay_lag), 0)::float8
  FROM pg_stat_replication ORDER BY application_name
