-- Lets appends leave a build alone. $1 text: its schema. Placeholder: {schema}.
DELETE FROM {schema}.sync_builds WHERE schema_name = $1
