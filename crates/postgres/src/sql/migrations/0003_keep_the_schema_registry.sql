-- The registry of schemas: what events are held against, and in which shape they are read. Placeholder: {schema}.
-- It changes only while the lock of every head is held, so whoever appends sees all of a change or nothing.
CREATE TABLE {schema}.registry (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    generation bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE {schema}.registry IS 'How often the registry of schemas was changed';
INSERT INTO {schema}.registry DEFAULT VALUES;

CREATE TABLE {schema}.schemas (
    type text COLLATE "C" NOT NULL,
    version int NOT NULL CHECK (version > 0),
    major bigint NOT NULL,
    minor bigint NOT NULL,
    patch bigint NOT NULL,
    id bigint NOT NULL,
    format text NOT NULL CHECK (format IN ('json', 'avro', 'protobuf')),
    text text NOT NULL,
    "references" text,
    upcaster text,
    is_deleted boolean NOT NULL DEFAULT false,
    registered_at timestamptz NOT NULL,
    registered_by text,
    -- What the functions for SQL hold data against, and why they take none of this version, where they do not.
    rules jsonb,
    sql_door text,
    -- The function that lifts data of the version before to this one; empty where that is the identity, NULL where nothing
    -- leads here.
    lift text,
    PRIMARY KEY (type, version),
    CHECK ((rules IS NULL) = (sql_door IS NOT NULL))
);
COMMENT ON TABLE {schema}.schemas IS 'The registered schemas of event types, by version';
COMMENT ON COLUMN {schema}.schemas.sql_door IS 'Why events of this version cannot be appended by SQL; NULL where they can';

CREATE TABLE {schema}.schema_settings (
    scope text NOT NULL CHECK (scope IN ('global', 'category', 'type')),
    name text COLLATE "C" NOT NULL,
    setting text COLLATE "C" NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (scope, name, setting)
);
COMMENT ON TABLE {schema}.schema_settings IS 'Whether events are held against their schemas, and how these may change';

CREATE TABLE {schema}.schema_readers (
    name text COLLATE "C" PRIMARY KEY,
    types text[] NOT NULL,
    categories text[] NOT NULL,
    understands text[] NOT NULL,
    read_at timestamptz NOT NULL,
    checkpoint text,
    waits_for text
);
COMMENT ON TABLE {schema}.schema_readers IS 'The readers that gave their names, and when each last read'
