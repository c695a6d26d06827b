-- projection: streams
-- version: 1
-- parallel-by: stream

CREATE TABLE stream_totals (
    stream TEXT PRIMARY KEY,
    events BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    last_version BIGINT NOT NULL,
    trail BIGINT NOT NULL
);

-- on: *
INSERT INTO stream_totals (stream, events, amount, last_version, trail)
VALUES (:stream, 1, CAST(:data.amount AS BIGINT), :version, :position)
ON CONFLICT (stream) DO UPDATE
SET events = stream_totals.events + 1, amount = stream_totals.amount + excluded.amount,
    last_version = excluded.last_version, trail = (stream_totals.trail * 31 + excluded.trail) % 1000000007;
