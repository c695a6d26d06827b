-- Lets appends write a build. $1 text: its schema. $2 text: the projection. Placeholder: {schema}.
INSERT INTO {schema}.sync_builds (schema_name, projection) VALUES ($1, $2)
