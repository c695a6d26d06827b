-- The schema version of an event in today's shape: one that may be lifted asks a function of this program. Placeholder:
-- is_lifted, which says of log.type_id whether it may be.
CAST(CASE WHEN {is_lifted} THEN pacioli_schema_version(log.position, log.stream, log.type_id, log.schema_version, log.data)
    ELSE log.schema_version END AS INTEGER)
