-- Creates the settings of the registry where they are not there yet. No binds.
CREATE TABLE IF NOT EXISTS pacioli_schema_settings (
    scope TEXT NOT NULL,
    scope_name TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (scope, scope_name, name)
) STRICT, WITHOUT ROWID;
