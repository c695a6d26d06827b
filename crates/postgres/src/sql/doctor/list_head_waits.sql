-- Lists sessions that wait for the lock of a head, and for whom. $1 oid: the table heads. $2 float8: for more seconds than this.
SELECT DISTINCT w.pid, array_to_string(pg_blocking_pids(w.pid), ', '), extract(epoch FROM clock_timestamp() - w.waitstart)::float8
  FROM pg_locks w JOIN pg_locks h ON h.pid = w.pid AND h.relation = $1 AND h.mode = 'RowShareLock'
 WHERE NOT w.granted AND w.waitstart < clock_timestamp() - make_interval(secs => $2)
