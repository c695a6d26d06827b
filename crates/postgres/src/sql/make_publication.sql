-- Makes the publication that the bus follows, where it is missing and the role may. Placeholder: {schema}. No binds.
DO $$
DECLARE
    before text := current_setting('client_min_messages');
BEGIN
    -- CREATE PUBLICATION warns where wal_level is not logical, which the bus says itself, and with what to do.
    PERFORM set_config('client_min_messages', 'error', true);
    IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = '{schema}_bus') THEN
        CREATE PUBLICATION {schema}_bus FOR TABLE {schema}.commits WITH (publish = 'insert');
    ELSIF NOT EXISTS (SELECT FROM pg_publication_tables
                       WHERE pubname = '{schema}_bus' AND schemaname = '{schema}' AND tablename = 'commits') THEN
        -- The schema was dropped and made again, which leaves its publication behind, empty.
        ALTER PUBLICATION {schema}_bus ADD TABLE {schema}.commits;
    END IF;
    PERFORM set_config('client_min_messages', before, true);
EXCEPTION
    -- The store works without: events of other writers are then polled for.
    WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN NULL;
END $$
