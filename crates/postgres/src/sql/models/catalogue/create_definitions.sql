-- Creates the table that says what was made. Placeholder: {catalogue}.
CREATE TABLE IF NOT EXISTS {catalogue}.made (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    migration int NOT NULL DEFAULT 0,
    definitions text,
    definitions_version int
)
