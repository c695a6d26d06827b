-- Deletes a setting of the registry. Binds: ?1 scope, ?2 scope_name, ?3 name.
DELETE FROM pacioli_schema_settings WHERE scope = ?1 AND scope_name = ?2 AND name = ?3
