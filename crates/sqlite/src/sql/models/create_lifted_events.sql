-- As create_events, where schemas are registered: an event that may be lifted is read through a function of this program, and all
-- others as they are stored; {is_lifted} says of log.type_id whether it may be. No binds; a condition on `log` may follow.
CREATE TEMP VIEW events AS
SELECT
    log.position >> 48 AS partition,
    log.position & 281474976710655 AS position,
    log.stream,
    CASE instr(log.stream, '-') WHEN 0 THEN log.stream ELSE substr(log.stream, 1, instr(log.stream, '-') - 1) END AS category,
    CASE instr(log.stream, '-') WHEN 0 THEN '' ELSE substr(log.stream, instr(log.stream, '-') + 1) END AS key,
    log.version,
    (SELECT types.name FROM pacioli_log.types WHERE types.id = log.type_id) AS type,
    CAST(CASE WHEN {is_lifted} THEN pacioli_schema_version(log.position, log.stream, log.type_id, log.schema_version, log.data)
        ELSE log.schema_version END AS INTEGER) AS schema_version,
    pacioli_id(log.id) AS id,
    CASE WHEN {is_lifted} THEN pacioli_data(log.position, log.stream, log.type_id, log.schema_version, log.data)
        ELSE log.data END AS data,
    log.metadata,
    log.tags,
    pacioli_time(ifnull(log.occurred_at, log.recorded_at)) AS occurred_at,
    pacioli_time(log.recorded_at) AS recorded_at
FROM pacioli_log.log AS log
