-- Makes the log, in the newest shape of events, appear as a table, or leads it to where the log is now. Placeholders: {catalogue}, {schema}, {options}: host,
-- port and the like, each name and value quoted.
DO $$
DECLARE
    wanted text[] := ARRAY[{options}];
    given text;
    n int;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_foreign_server WHERE srvname = '{schema}_log') THEN
        -- Pages of 5,000 events; the log's own planner knows best what its indexes are worth.
        CREATE SERVER {schema}_log FOREIGN DATA WRAPPER postgres_fdw OPTIONS (fetch_size '5000', use_remote_estimate 'true', updatable 'false');
    END IF;
    FOR n IN 1 .. cardinality(wanted) / 2 LOOP
        given := (SELECT split_part(o, '=', 1) FROM pg_foreign_server s, unnest(s.srvoptions) o
                   WHERE s.srvname = '{schema}_log' AND split_part(o, '=', 1) = wanted[2 * n - 1]);
        EXECUTE format('ALTER SERVER {schema}_log OPTIONS (%s %I %L)', CASE WHEN given IS NULL THEN 'ADD' ELSE 'SET' END,
                       wanted[2 * n - 1], wanted[2 * n]);
    END LOOP;
    DROP USER MAPPING IF EXISTS FOR CURRENT_USER SERVER {schema}_log;
    BEGIN
        EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER {schema}_log OPTIONS (user %L%s)', current_setting('pacioli.log_user'),
                       CASE current_setting('pacioli.log_password') WHEN '' THEN ''
                            ELSE format(', password %L', current_setting('pacioli.log_password')) END);
    EXCEPTION WHEN OTHERS THEN
        -- Told anew, so that the statement with the password is in nobody's log.
        RAISE EXCEPTION 'the log''s user cannot be written down: %', SQLERRM USING ERRCODE = SQLSTATE;
    END;
    IF to_regclass('{catalogue}.events') IS NULL THEN
        CREATE FOREIGN TABLE {catalogue}.events (
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
            tags text[] COLLATE "C"
        ) SERVER {schema}_log OPTIONS (schema_name '{log_schema}', table_name 'shaped_events');
        CREATE FOREIGN TABLE {catalogue}.heads (part int NOT NULL, epoch int NOT NULL)
            SERVER {schema}_log OPTIONS (schema_name '{log_schema}', table_name 'heads', use_remote_estimate 'false');
    ELSE
        ALTER FOREIGN TABLE {catalogue}.events OPTIONS (SET schema_name '{log_schema}', SET table_name 'shaped_events');
        ALTER FOREIGN TABLE {catalogue}.heads OPTIONS (SET schema_name '{log_schema}');
    END IF;
END $$
