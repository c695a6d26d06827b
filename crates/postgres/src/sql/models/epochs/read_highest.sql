-- How far a build has come in each partition, with any of its workers. $1 text: the projection. $2 int: the build.
-- Placeholder: {catalogue}.
SELECT max(position) FROM {catalogue}.progress WHERE name = $1 AND number = $2 GROUP BY part ORDER BY part
