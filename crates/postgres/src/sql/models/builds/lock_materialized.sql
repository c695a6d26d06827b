-- Takes the right to refresh a view. $1 text: the projection. $2 int: the build. $3 text: the view. Placeholder: {catalogue}.
SELECT b.schema_name FROM {catalogue}.relations r JOIN {catalogue}.builds b USING (name, number)
 WHERE r.name = $1 AND r.number = $2 AND r.relation = $3 AND r.kind = 'materialized view'
   FOR NO KEY UPDATE OF r
