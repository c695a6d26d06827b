-- Writes a setting of the registry. Binds: ?1 scope, ?2 scope_name, ?3 name, ?4 value.
INSERT INTO pacioli_schema_settings (scope, scope_name, name, value) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (scope, scope_name, name) DO UPDATE SET value = excluded.value
