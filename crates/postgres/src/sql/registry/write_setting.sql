-- Sets a setting of the registry. $1 text: the kind of scope. $2 text: its name. $3 text: the setting. $4 text: the value.
INSERT INTO schema_settings (scope, name, setting, value) VALUES ($1, $2, $3, $4)
    ON CONFLICT (scope, name, setting) DO UPDATE SET value = excluded.value
