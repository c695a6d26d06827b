-- The data of an event in today's shape: one that may be lifted asks a function of this program. Placeholder: is_lifted, which
-- says of log.type_id whether it may be.
CASE WHEN {is_lifted} THEN pacioli_data(log.position, log.stream, log.type_id, log.schema_version, log.data)
    ELSE log.data END
