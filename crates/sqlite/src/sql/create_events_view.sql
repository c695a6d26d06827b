-- Creates the relation that any SQLite tool queries, complete while the server runs. No binds. Times are RFC 3339 in UTC;
-- occurred_at falls back to recorded_at, so it is never NULL.
CREATE VIEW events AS
SELECT
    log.position >> 48 AS partition,
    log.position & 281474976710655 AS position,
    log.stream,
    CASE instr(log.stream, '-') WHEN 0 THEN log.stream ELSE substr(log.stream, 1, instr(log.stream, '-') - 1) END AS category,
    CASE instr(log.stream, '-') WHEN 0 THEN '' ELSE substr(log.stream, instr(log.stream, '-') + 1) END AS key,
    log.version,
    (SELECT types.name FROM types WHERE types.id = log.type_id) AS type,
    log.schema_version,
    lower(substr(hex(log.id), 1, 8) || '-' || substr(hex(log.id), 9, 4) || '-' || substr(hex(log.id), 13, 4) || '-'
        || substr(hex(log.id), 17, 4) || '-' || substr(hex(log.id), 21, 12)) AS id,
    log.data,
    log.metadata,
    log.tags,
    strftime('%Y-%m-%dT%H:%M:%S', (ifnull(log.occurred_at, log.recorded_at) - (ifnull(log.occurred_at, log.recorded_at) % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
        || printf('.%06dZ', (ifnull(log.occurred_at, log.recorded_at) % 1000000 + 1000000) % 1000000) AS occurred_at,
    strftime('%Y-%m-%dT%H:%M:%S', (log.recorded_at - (log.recorded_at % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
        || printf('.%06dZ', (log.recorded_at % 1000000 + 1000000) % 1000000) AS recorded_at
FROM log;
