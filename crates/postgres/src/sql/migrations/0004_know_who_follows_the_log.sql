-- Lets every server know which named readers follow the log, whichever server they are at. Placeholder: {schema}.
ALTER TABLE {schema}.schema_readers ADD COLUMN live_until timestamptz;
COMMENT ON COLUMN {schema}.schema_readers.live_until IS 'Until when it counts as one that follows the log, unless it is noted again before'
