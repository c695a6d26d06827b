-- The relations of a projection's builds that have a view to query. $1 text: its name. $2 text: the schema of views.
-- Placeholder: {catalogue}.
SELECT DISTINCT r.relation FROM {catalogue}.relations r
 WHERE r.name = $1 AND to_regclass(format('%I.%I', $2::text, r.relation)) IS NOT NULL
