-- Finds the projections that own some relations in what serves. $1 text[]: the relations. Placeholder: {catalogue}.
SELECT DISTINCT r.name
  FROM {catalogue}.relations r
  JOIN {catalogue}.builds b USING (name, number)
 WHERE b.role = 'serving' AND r.relation = ANY ($1)
 ORDER BY 1
