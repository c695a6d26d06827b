-- Lists sessions that hold or asked for the lock of a head and do nothing. $1 oid: the table heads. $2 float8: for more
-- seconds than this.
SELECT DISTINCT a.pid, coalesce(a.usename, '')::text, coalesce(a.application_name, ''),
       extract(epoch FROM clock_timestamp() - a.state_change)::float8
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.relation = $1 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.granted AND l.mode = 'RowShareLock' AND a.pid <> pg_backend_pid()
   AND a.state LIKE 'idle in transaction%' AND a.state_change < clock_timestamp() - make_interval(secs => $2)
