-- The catalogue of read models: which builds there are, and where they stand. Placeholders: {catalogue}, {read}, {schema}.
CREATE TABLE {catalogue}.projections (
    name text COLLATE "C" PRIMARY KEY,
    last_number int NOT NULL DEFAULT 0
);
COMMENT ON TABLE {catalogue}.projections IS 'The names there are or were, and the number of the last build of each, which is never used again';

CREATE TABLE {catalogue}.builds (
    name text COLLATE "C" NOT NULL REFERENCES {catalogue}.projections,
    number int NOT NULL,
    schema_name text COLLATE "C" NOT NULL UNIQUE,
    version bigint NOT NULL,
    mode text NOT NULL CHECK (mode IN ('async', 'sync')),
    file text NOT NULL,
    text text NOT NULL,
    hash text NOT NULL,
    workers int NOT NULL CHECK (workers > 0),
    role text NOT NULL CHECK (role IN ('filling', 'serving', 'kept')),
    state text NOT NULL CHECK (state IN ('running', 'paused', 'failed')),
    -- Its rows are written by the transactions of appends: it stands at the head.
    in_appends boolean NOT NULL DEFAULT false,
    failed_part int,
    failed_position bigint,
    failed_error text,
    failed_at timestamptz,
    -- Of the log that its progress is of.
    epoch int NOT NULL,
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    served_at timestamptz,
    PRIMARY KEY (name, number),
    UNIQUE (name, role)
);

-- What each build owns. Only one projection may own a name.
CREATE TABLE {catalogue}.relations (
    name text COLLATE "C" NOT NULL,
    number int NOT NULL,
    relation text COLLATE "C" NOT NULL,
    kind text NOT NULL CHECK (kind IN ('table', 'view', 'materialized view')),
    n int NOT NULL,
    refresh_seconds double precision,
    refreshed_at timestamptz,
    PRIMARY KEY (name, number, relation),
    FOREIGN KEY (name, number) REFERENCES {catalogue}.builds ON DELETE CASCADE
);
CREATE INDEX ON {catalogue}.relations (relation);

-- Where each worker of a build stands in each partition. The row stays on its page.
CREATE TABLE {catalogue}.progress (
    name text COLLATE "C" NOT NULL,
    number int NOT NULL,
    worker int NOT NULL,
    part int NOT NULL,
    position bigint NOT NULL DEFAULT 0,
    events bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (name, number, worker, part)
) WITH (fillfactor = 25, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- Events that somebody told a build to pass over: to fold it again is to pass over them too.
CREATE TABLE {catalogue}.skipped (
    name text COLLATE "C" NOT NULL,
    number int NOT NULL,
    part int NOT NULL,
    position bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (name, number, part, position),
    FOREIGN KEY (name, number) REFERENCES {catalogue}.builds ON DELETE CASCADE
);

-- Tables as they were, for questions about the past.
CREATE TABLE {catalogue}.copies (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    hash text NOT NULL,
    workers int NOT NULL,
    epoch int NOT NULL,
    schema_name text COLLATE "C" NOT NULL UNIQUE,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE {catalogue}.copy_progress (
    id bigint NOT NULL REFERENCES {catalogue}.copies ON DELETE CASCADE,
    worker int NOT NULL,
    part int NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (id, worker, part)
);

-- Schemas that are thrown away. Who uses one holds the advisory lock of its id.
CREATE TABLE {catalogue}.scratches (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name text COLLATE "C" NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
