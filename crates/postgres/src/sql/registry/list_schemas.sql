-- Lists the registered schemas. No binds.
SELECT type, version, major, minor, patch, id, format, text, "references", upcaster, is_deleted, registered_at, registered_by
  FROM schemas ORDER BY type, version
