-- Which other projections own one of these relations. $1 text: the projection. $2 text[]: the relations. Placeholder:
-- {catalogue}.
SELECT DISTINCT r.relation, r.name FROM {catalogue}.relations r WHERE r.name <> $1 AND r.relation = ANY ($2) ORDER BY 1, 2
