-- Lists the settings of the registry. No binds. Result: scope, scope_name, name, value.
SELECT scope, scope_name, name, value FROM pacioli_schema_settings
