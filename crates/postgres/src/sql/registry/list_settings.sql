-- Lists the settings of the registry. No binds.
SELECT scope, name, setting, value FROM schema_settings ORDER BY scope, name, setting
