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
        -- Without objects and nulls at the top the two are the same, and this one is faster.
        WHEN NOT EXISTS (SELECT 1 FROM json_each(excluded.state) AS field WHERE field.type IN ('object', 'null'))
        THEN json_patch(rewind_streams.state, excluded.state)
        ELSE (
            SELECT json_group_object(field.key, field.value)
            FROM (
                SELECT known.key, coalesce(excluded.state -> known.fullkey, rewind_streams.state -> known.fullkey) AS value
                FROM json_each(rewind_streams.state) AS known
                UNION ALL
                SELECT new.key, excluded.state -> new.fullkey
                FROM json_each(excluded.state) AS new
                WHERE (rewind_streams.state -> new.fullkey) IS NULL
            ) AS field
        )
    END;
