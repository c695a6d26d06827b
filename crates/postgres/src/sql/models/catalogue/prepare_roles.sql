-- Makes the roles that read models belong to and are read by, where they are missing and this session's role may, and lets
-- the first make schemas. Placeholder: {schema}. No binds.
DO $$
DECLARE
    me pg_catalog.pg_roles;
    wanted text;
BEGIN
    SELECT * INTO me FROM pg_catalog.pg_roles WHERE rolname = current_user;
    FOREACH wanted IN ARRAY ARRAY['{schema}_projector', '{schema}_reader'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) OR NOT (me.rolsuper OR me.rolcreaterole);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{schema}_projector') THEN
        RETURN;
    END IF;
    IF NOT has_database_privilege('{schema}_projector', current_database(), 'CREATE') THEN
        BEGIN
            EXECUTE format('GRANT CREATE ON DATABASE %I TO {schema}_projector', current_database());
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;
        END;
    END IF;
    IF NOT (me.rolsuper OR pg_has_role(me.oid, '{schema}_projector', 'MEMBER')) THEN
        BEGIN
            EXECUTE format('GRANT {schema}_projector TO %I', current_user);
        EXCEPTION WHEN insufficient_privilege OR unique_violation OR internal_error THEN
            NULL;
        END;
    END IF;
END $$
