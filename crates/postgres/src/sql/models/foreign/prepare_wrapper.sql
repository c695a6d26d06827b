-- Lets read models reach a log in another database. Placeholder: {schema}. No binds.
DO $$
DECLARE
    projector text := (SELECT rolname FROM pg_roles WHERE rolname = '{schema}_projector');
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'postgres_fdw') THEN
        CREATE EXTENSION postgres_fdw SCHEMA public;
    END IF;
    IF projector IS NOT NULL AND NOT has_foreign_data_wrapper_privilege(projector, 'postgres_fdw', 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO %I', projector);
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'read models in another database reach the log through postgres_fdw, and this login may not make it: let a superuser run CREATE EXTENSION postgres_fdw; GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO %', coalesce(projector, current_user)
            USING ERRCODE = 'insufficient_privilege';
    WHEN undefined_file OR feature_not_supported THEN
        RAISE EXCEPTION 'read models in another database reach the log through postgres_fdw, which is not installed there: install PostgreSQL''s contrib package';
END $$
