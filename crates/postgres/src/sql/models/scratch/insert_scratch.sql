-- Writes down a schema that is to be thrown away. $1 text: its name. Placeholder: {catalogue}.
INSERT INTO {catalogue}.scratches (schema_name) VALUES ($1) RETURNING id
