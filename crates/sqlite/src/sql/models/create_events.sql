-- Creates the relation that queries read, over the log where it is attached. No binds; a condition on `log` may follow. The same
-- columns as the view `events` of the log's own file; times and ids are written by functions of this program. Placeholders:
-- schema_version and data, the columns of the log or these lifted to today's shape.
CREATE TEMP VIEW events AS
SELECT
    log.position >> 48 AS partition,
    log.position & 281474976710655 AS position,
    log.stream,
    CASE instr(log.stream, '-') WHEN 0 THEN log.stream ELSE substr(log.stream, 1, instr(log.stream, '-') - 1) END AS category,
    CASE instr(log.stream, '-') WHEN 0 THEN '' ELSE substr(log.stream, instr(log.stream, '-') + 1) END AS key,
    log.version,
    (SELECT types.name FROM pacioli_log.types WHERE types.id = log.type_id) AS type,
    {schema_version} AS schema_version,
    pacioli_id(log.id) AS id,
    {data} AS data,
    log.metadata,
    log.tags,
    pacioli_time(ifnull(log.occurred_at, log.recorded_at)) AS occurred_at,
    pacioli_time(log.recorded_at) AS recorded_at
FROM pacioli_log.log AS log
