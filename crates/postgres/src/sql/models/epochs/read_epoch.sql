-- The epoch of a build that did not fail. $1 text: the projection. $2 int: the build. Placeholder: {catalogue}.
SELECT epoch FROM {catalogue}.builds WHERE name = $1 AND number = $2 AND state <> 'failed'
