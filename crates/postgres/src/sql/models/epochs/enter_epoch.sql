-- Brings a build into an epoch. $1 text: the projection. $2 int: the build. $3 int: the epoch. Placeholder: {catalogue}.
UPDATE {catalogue}.builds SET epoch = $3 WHERE name = $1 AND number = $2
