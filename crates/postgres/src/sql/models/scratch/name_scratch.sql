-- Writes down the name of a schema that is to be thrown away. $1 bigint: its id. $2 text: its name. Placeholder: {catalogue}.
UPDATE {catalogue}.scratches SET schema_name = $2 WHERE id = $1
