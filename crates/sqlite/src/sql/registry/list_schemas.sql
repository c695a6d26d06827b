-- Lists the registered schemas by type and version. No binds. Result: event_type, version, semver, id, format, text, needs,
-- upcaster, is_deleted, registered_at, registered_by.
SELECT event_type, version, semver, id, format, text, needs, upcaster, is_deleted, registered_at, registered_by
FROM pacioli_schemas
ORDER BY event_type, version
