-- Gives the function that runs projections in appends to a role that may do nothing else, where there is one and this
-- session's role may. Placeholder: {schema}.
DO $$
DECLARE
    is_owned boolean := (SELECT r.rolname = '{schema}_sync' FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_roles r ON r.oid = p.proowner
                          WHERE p.oid = '{schema}.run_sync'::regproc);
BEGIN
    IF is_owned OR (SELECT count(*) FROM pg_catalog.pg_roles WHERE rolname IN ('{schema}_owner', '{schema}_sync')) < 2 THEN
        RETURN;
    END IF;
    BEGIN
        -- The owner may do everything, and this too; it makes the function anew when its text changes.
        GRANT {schema}_sync TO {schema}_owner;
    EXCEPTION WHEN unique_violation OR internal_error THEN
        -- "tuple concurrently updated": another session was first, which is as good.
        NULL;
    END;
    -- Who is no superuser may give a function only to a role that may make one where it lies.
    GRANT CREATE ON SCHEMA {schema} TO {schema}_sync;
    ALTER FUNCTION {schema}.run_sync OWNER TO {schema}_sync;
    REVOKE ALL ON SCHEMA {schema} FROM {schema}_sync;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END $$
