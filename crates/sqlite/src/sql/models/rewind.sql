-- projection: rewind
-- version: 1
-- parallel-by: stream

-- One row an event: what it changed in the state of its stream.
CREATE TABLE rewind_events (
    seq BIGINT PRIMARY KEY,
    partition BIGINT NOT NULL,
    position BIGINT NOT NULL,
    stream TEXT NOT NULL,
    version BIGINT NOT NULL,
    type TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    occurred_at TEXT NOT NULL,
    changes TEXT
);
CREATE INDEX rewind_events_of_stream ON rewind_events (stream, version);

-- One row a stream: its events merged in order.
CREATE TABLE rewind_streams (
    stream TEXT PRIMARY KEY,
    category TEXT NOT NULL,
    key TEXT NOT NULL,
    version BIGINT NOT NULL,
    first_recorded_at TEXT NOT NULL,
    last_recorded_at TEXT NOT NULL,
    events BIGINT NOT NULL,
    state TEXT NOT NULL
);

-- on: *
INSERT INTO rewind_events (seq, partition, position, stream, version, type, recorded_at, occurred_at, changes)
SELECT :position * 1024 + :partition, :partition, :position, :stream, :version, :type, :recorded_at, :occurred_at,
    CASE
        WHEN json_type(:data) IS NOT 'object' THEN NULL
        WHEN known.state IS NULL THEN json(:data)
        ELSE (
            SELECT json_group_object(field.key, :data -> field.fullkey)
            FROM json_each(:data) AS field
            WHERE (known.state -> field.fullkey) IS NOT (:data -> field.fullkey)
        )
    END
FROM (SELECT 1) AS one LEFT JOIN rewind_streams AS known ON known.stream = :stream;

INSERT INTO rewind_streams (stream, category, key, version, first_recorded_at, last_recorded_at, events, state)
VALUES (:stream, :category, :key, :version, :recorded_at, :recorded_at, 1,
    CASE json_type(:data) WHEN 'object' THEN json(:data) ELSE '{}' END)
ON CONFLICT (stream) DO UPDATE
SET version = excluded.version,
    last_recorded_at = excluded.last_recorded_at,
    events = rewind_streams.events + 1,
    state = CASE
        -- A merge patch, which is faster, does the same where no null is: objects are taken out first, so that they are replaced.
        WHEN instr(excluded.state, 'null') = 0
        THEN json_patch(
            json_patch(
                rewind_streams.state,
                (SELECT json_group_object(key, NULL) FROM json_each(excluded.state) WHERE type = 'object')
            ),
            excluded.state
        )
        ELSE (
            SELECT json_group_object(
                field.key,
                json(coalesce(excluded.state -> field.fullkey, rewind_streams.state -> field.fullkey))
            )
            FROM (
                SELECT key, fullkey FROM json_each(rewind_streams.state)
                UNION ALL
                SELECT key, fullkey FROM json_each(excluded.state) WHERE (rewind_streams.state -> fullkey) IS NULL
            ) AS field
        )
    END;
