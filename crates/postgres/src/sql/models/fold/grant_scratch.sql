-- Lets the readers read a schema. Placeholders: {build}, {schema}.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{schema}_reader') THEN
        GRANT USAGE ON SCHEMA {build} TO {schema}_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA {build} TO {schema}_reader;
    END IF;
END $$
