-- Forgets what a build passed over. $1 text: its schema. Placeholder: {catalogue}.
DELETE FROM {catalogue}.passed_over WHERE schema_name = $1
