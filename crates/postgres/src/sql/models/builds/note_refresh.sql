-- Notes that a view is refreshed now. $1 text: the projection. $2 int: the build. $3 text: the view. Placeholder: {catalogue}.
UPDATE {catalogue}.relations SET refreshed_at = clock_timestamp() WHERE name = $1 AND number = $2 AND relation = $3
