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
VALUES (:position * 1024 + :partition, :partition, :position, :stream, :version, :type, :recorded_at, :occurred_at, :data);

INSERT INTO rewind_streams (stream, category, key, version, first_recorded_at, last_recorded_at, events, state)
VALUES (:stream, :category, :key, :version, :recorded_at, :recorded_at, 1, coalesce(:data, '{}'))
ON CONFLICT (stream) DO UPDATE
SET version = excluded.version, last_recorded_at = excluded.last_recorded_at, events = rewind_streams.events + 1,
    state = json_patch(rewind_streams.state, excluded.state);
