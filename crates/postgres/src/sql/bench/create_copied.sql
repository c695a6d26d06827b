-- Creates the plain table that raw COPY is measured on: the columns of `events`, in no chunks. No binds.
CREATE TABLE copied (
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
    PRIMARY KEY (part, position)
)
