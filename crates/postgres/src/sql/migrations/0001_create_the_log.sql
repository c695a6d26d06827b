-- The log and all that belongs to it, in one schema. Placeholders: {schema}, {partitions}, {chunk_events}.
-- Every key begins with the partition, so that the same tables can be distributed by it.

CREATE TABLE {schema}.store (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    partitions int NOT NULL CHECK (partitions BETWEEN 1 AND 1024),
    chunk_events bigint NOT NULL CHECK (chunk_events > 0),
    remember interval NOT NULL DEFAULT '7 days',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE {schema}.store IS 'What is fixed when a store is created, and how long ids and keys are remembered';
INSERT INTO {schema}.store (partitions, chunk_events) VALUES ({partitions}, {chunk_events});

-- Where the log may have lost its tail: the heads at which each epoch began, and the database that it began on.
CREATE TABLE {schema}.epochs (
    epoch int PRIMARY KEY,
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    heads bigint[] NOT NULL,
    system_id bigint NOT NULL,
    timeline int NOT NULL
);

-- One row a partition: who appends holds its lock. It is never updated but when an epoch begins.
CREATE TABLE {schema}.heads (
    part int PRIMARY KEY,
    epoch int NOT NULL,
    floor_pos bigint NOT NULL DEFAULT 0
);

-- One row a committed batch. The newest one is the head.
CREATE TABLE {schema}.commits (
    part int NOT NULL,
    first_pos bigint NOT NULL,
    last_pos bigint NOT NULL CHECK (last_pos >= first_pos),
    at timestamptz NOT NULL,
    PRIMARY KEY (part, first_pos)
);

-- fillfactor: version and last_chunk change with every append and stand in no index, so the row stays on its page.
CREATE TABLE {schema}.streams (
    part int NOT NULL,
    stream text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    last_chunk int NOT NULL,
    first_pos bigint NOT NULL,
    PRIMARY KEY (part, stream)
) WITH (fillfactor = 75);
CREATE UNIQUE INDEX streams_by_start ON {schema}.streams (part, first_pos);

-- Which chunks hold events of a stream, and from which version on.
CREATE TABLE {schema}.stream_chunks (
    part int NOT NULL,
    stream text COLLATE "C" NOT NULL,
    chunk int NOT NULL,
    first_version bigint NOT NULL,
    PRIMARY KEY (part, stream, chunk)
);

-- Columns of fixed width first, so that no row is padded.
CREATE TABLE {schema}.events (
    part int NOT NULL,
    schema_version int NOT NULL,
    position bigint NOT NULL,
    version bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    occurred_at timestamptz,
    id uuid NOT NULL,
    stream text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    data json,
    raw bytea,
    metadata json,
    tags text[] COLLATE "C",
    PRIMARY KEY (part, position),
    CHECK ((data IS NULL) <> (raw IS NULL))
) PARTITION BY RANGE (position);

CREATE TABLE {schema}.event_tags (
    part int NOT NULL,
    tag text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (part, tag, position)
) PARTITION BY RANGE (position);

-- The chunks of the log that are made: positions from chunk * chunk_events up to the next.
CREATE TABLE {schema}.chunks (
    chunk int PRIMARY KEY,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    frozen_at timestamptz
);

-- What retries are recognised by. Partitions are periods of time: this one, the one before and one made ahead.
CREATE TABLE {schema}.event_ids (
    part int NOT NULL,
    id uuid NOT NULL,
    position bigint NOT NULL,
    at timestamptz NOT NULL
) PARTITION BY RANGE (at);

CREATE TABLE {schema}.append_keys (
    part int NOT NULL,
    n int NOT NULL,
    key uuid NOT NULL,
    first_pos bigint NOT NULL,
    at timestamptz NOT NULL,
    content bytea NOT NULL CHECK (octet_length(content) = 32)
) PARTITION BY RANGE (at);

CREATE TABLE {schema}.periods (
    period int PRIMARY KEY,
    begins_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL CHECK (ends_at > begins_at)
);

-- What a transaction will append when it commits. A row is deleted by the transaction that wrote it, so none outlives it and
-- none needs the write-ahead log; what is left behind is dead, and vacuumed by count.
CREATE UNLOGGED TABLE {schema}.deferred_appends (
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id bigint GENERATED ALWAYS AS IDENTITY,
    part int NOT NULL,
    stream text COLLATE "C" NOT NULL,
    expected text NOT NULL,
    events jsonb[] NOT NULL,
    key uuid,
    unless jsonb,
    PRIMARY KEY (transaction, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- Where consumers stand that append what they make of the log.
CREATE TABLE {schema}.checkpoints (
    name text COLLATE "C" PRIMARY KEY,
    checkpoint text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE {schema}.leases (
    name text COLLATE "C" PRIMARY KEY,
    owner text NOT NULL,
    token bigint NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Saved states of aggregates: a cache, never the truth.
CREATE TABLE {schema}.snapshots (
    part int NOT NULL,
    stream text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    checksum bytea NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (part, stream, fingerprint)
);

-- Indexes that were asked for beyond those of the log, made on every chunk.
CREATE TABLE {schema}.indexes (
    name text COLLATE "C" PRIMARY KEY,
    definition text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO {schema}.heads (part, epoch) SELECT part, 1 FROM generate_series(0, {partitions} - 1) part;
