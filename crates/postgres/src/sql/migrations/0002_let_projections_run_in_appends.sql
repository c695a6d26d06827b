-- The builds of `sync` projections, whose rows the transactions of appends write. Placeholder: {schema}.
-- It changes only while the lock of every head is held, so whoever appends sees all of a change or nothing.
CREATE TABLE {schema}.sync_builds (
    schema_name text COLLATE "C" PRIMARY KEY,
    projection text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
)
