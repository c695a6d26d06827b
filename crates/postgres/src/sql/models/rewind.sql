-- projection: rewind
-- version: 1
-- parallel-by: stream

-- One row an event, with what it changed: the top-level fields of its data whose values were others before.
CREATE TABLE rewind_events (
    seq         BIGINT PRIMARY KEY,
    partition   INT NOT NULL,
    position    BIGINT NOT NULL,
    stream      TEXT COLLATE "C" NOT NULL,
    version     BIGINT NOT NULL,
    type        TEXT COLLATE "C" NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL,
    changes     JSONB NOT NULL
);
CREATE UNIQUE INDEX rewind_events_by_stream ON rewind_events (stream, version);
CREATE INDEX rewind_events_by_type ON rewind_events (type, occurred_at);

-- One row a stream, with its events merged in their order.
CREATE TABLE rewind_streams (
    stream            TEXT COLLATE "C" PRIMARY KEY,
    category          TEXT COLLATE "C" NOT NULL,
    key               TEXT COLLATE "C" NOT NULL,
    version           BIGINT NOT NULL,
    first_recorded_at TIMESTAMPTZ NOT NULL,
    last_recorded_at  TIMESTAMPTZ NOT NULL,
    events            BIGINT NOT NULL,
    state             JSONB NOT NULL
);
CREATE INDEX rewind_streams_by_category ON rewind_streams (category, key);

-- The sequence number is the position with the partition above it: it is the same in every rebuild, and a greater one is later
-- in its partition. A field that an event does not name stays as it was; one that it names as null is null from then on.

-- on batch:
WITH fields AS (
    SELECT b.position, b.stream, f.name, f.value,
           lag(f.value) OVER (PARTITION BY b.stream, f.name ORDER BY b.position) AS before
      FROM batch b, LATERAL jsonb_each(CASE jsonb_typeof(b.data) WHEN 'object' THEN b.data END) f(name, value)
), changed AS (
    SELECT f.position, jsonb_object_agg(f.name, f.value) AS changes
      FROM fields f LEFT JOIN rewind_streams s ON s.stream = f.stream
     WHERE coalesce(f.before, s.state -> f.name) IS DISTINCT FROM f.value
     GROUP BY f.position
)
INSERT INTO rewind_events (seq, partition, position, stream, version, type, recorded_at, occurred_at, changes)
SELECT (CAST(b.partition AS bigint) << 48) | b.position, b.partition, b.position, b.stream, b.version, b.type, b.recorded_at, b.occurred_at,
       coalesce(c.changes, '{}')
  FROM batch b LEFT JOIN changed c ON c.position = b.position;

-- on batch:
WITH merged AS (
    SELECT b.stream, jsonb_object_agg(f.name, f.value ORDER BY b.position) AS state
      FROM batch b, LATERAL jsonb_each(CASE jsonb_typeof(b.data) WHEN 'object' THEN b.data END) f(name, value)
     GROUP BY b.stream
), moved AS (
    SELECT b.stream, min(b.category) AS category, min(b.key) AS key, max(b.version) AS version, min(b.recorded_at) AS first_recorded_at,
           max(b.recorded_at) AS last_recorded_at, count(*) AS events
      FROM batch b GROUP BY b.stream
)
INSERT INTO rewind_streams (stream, category, key, version, first_recorded_at, last_recorded_at, events, state)
SELECT m.stream, m.category, m.key, m.version, m.first_recorded_at, m.last_recorded_at, m.events, coalesce(d.state, '{}')
  FROM moved m LEFT JOIN merged d ON d.stream = m.stream
ON CONFLICT (stream) DO UPDATE
SET version = excluded.version, last_recorded_at = excluded.last_recorded_at, events = rewind_streams.events + excluded.events,
    state = rewind_streams.state || excluded.state;
