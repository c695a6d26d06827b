-- Reads when a build runs. $1 text: the projection. $2 int: the build. Placeholder: {catalogue}.
SELECT mode FROM {catalogue}.builds WHERE name = $1 AND number = $2
