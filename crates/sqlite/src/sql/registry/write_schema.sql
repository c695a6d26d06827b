-- Writes a registered schema. Binds: ?1 event_type, ?2 version, ?3 semver, ?4 id, ?5 format, ?6 text, ?7 needs, ?8 upcaster,
-- ?9 is_deleted, ?10 registered_at, ?11 registered_by.
INSERT INTO pacioli_schemas
    (event_type, version, semver, id, format, text, needs, upcaster, is_deleted, registered_at, registered_by)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (event_type, version) DO UPDATE
SET semver = excluded.semver, id = excluded.id, format = excluded.format, text = excluded.text, needs = excluded.needs,
    upcaster = excluded.upcaster, is_deleted = excluded.is_deleted, registered_at = excluded.registered_at,
    registered_by = excluded.registered_by
