-- Lists the materialized views of a build. $1 text: the projection. $2 int: the build. Placeholder: {catalogue}.
SELECT r.relation, r.refresh_seconds, r.refreshed_at FROM {catalogue}.relations r
 WHERE r.name = $1 AND r.number = $2 AND r.kind = 'materialized view' ORDER BY r.n
