-- Lists transactions that have been open for long. $1 float8: for more seconds than this.
SELECT pid, coalesce(usename, '')::text, coalesce(datname, '')::text, coalesce(application_name, ''), coalesce(state, ''),
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age
  FROM pg_stat_activity
 WHERE xact_start < clock_timestamp() - make_interval(secs => $1) AND pid <> pg_backend_pid() AND backend_type = 'client backend'
 ORDER BY age DESC
