-- Lets the function that runs in appends call a build's. Placeholders: {build}, {schema}.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{schema}_sync') THEN
        GRANT USAGE ON SCHEMA {build} TO {schema}_sync;
        GRANT EXECUTE ON FUNCTION {build}.apply TO {schema}_sync;
    END IF;
END $$
