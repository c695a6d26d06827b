-- Notes whether appends write a build. $1 text: the projection. $2 int: the build. $3 bool: whether. Placeholder: {catalogue}.
UPDATE {catalogue}.builds SET in_appends = $3 WHERE name = $1 AND number = $2
