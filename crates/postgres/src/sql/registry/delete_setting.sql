-- Takes a setting of the registry away. $1 text: the kind of scope. $2 text: its name. $3 text: the setting.
DELETE FROM schema_settings WHERE scope = $1 AND name = $2 AND setting = $3
