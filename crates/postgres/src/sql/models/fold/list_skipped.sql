-- Lists the events that a build passed over. $1 text: the projection. $2 int: the build. Placeholder: {catalogue}.
SELECT part, position FROM {catalogue}.skipped WHERE name = $1 AND number = $2 ORDER BY part, position
