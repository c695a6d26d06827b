-- Writes down what a build owns. $1 text: its name. $2 int: its number. $3 text[]: the relations, $4 text[]: their kinds,
-- $5 float8[]: how often they are refreshed. Placeholder: {catalogue}.
INSERT INTO {catalogue}.relations (name, number, relation, kind, n, refresh_seconds, refreshed_at)
SELECT $1, $2, r.relation, r.kind, r.n, r.refresh_seconds, CASE WHEN r.kind = 'materialized view' THEN clock_timestamp() END
  FROM unnest($3::text[], $4::text[], $5::float8[]) WITH ORDINALITY r(relation, kind, refresh_seconds, n)
