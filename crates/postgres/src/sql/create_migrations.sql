-- Creates the table that says what was applied. Placeholder: {schema}.
CREATE TABLE IF NOT EXISTS {schema}.migrations (
    version int PRIMARY KEY,
    name text NOT NULL,
    definitions text,
    definitions_version int,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
