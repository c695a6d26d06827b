-- What was made of the catalogue. No binds. Placeholder: {catalogue}.
SELECT migration, definitions, definitions_version FROM {catalogue}.made
