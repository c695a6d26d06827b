-- Deletes a registered schema. Binds: ?1 event_type, ?2 version.
DELETE FROM pacioli_schemas WHERE event_type = ?1 AND version = ?2
