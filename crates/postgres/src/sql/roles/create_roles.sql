-- Creates the roles of a store that are missing, where this session's role may. Placeholder: {schema}.
DO $$
DECLARE
    me pg_catalog.pg_roles;
    wanted text;
    patience text := current_setting('lock_timeout');
BEGIN
    -- A role of the same name that is not committed yet is waited for.
    PERFORM set_config('lock_timeout', '30s', true);
    SELECT * INTO me FROM pg_catalog.pg_roles WHERE rolname = current_user;
    FOREACH wanted IN ARRAY ARRAY['{schema}_owner', '{schema}_appender', '{schema}_reader', '{schema}_projector', '{schema}_replicator',
                               '{schema}_sync'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted);
        IF NOT (me.rolsuper OR me.rolcreaterole) THEN
            EXIT;
        END IF;
        BEGIN
            -- Only a superuser may hand on the right to replicate.
            EXECUTE format('CREATE ROLE %I NOLOGIN %s', wanted,
                           CASE WHEN me.rolsuper AND wanted = '{schema}_replicator' THEN 'REPLICATION' ELSE '' END);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            -- Roles are the cluster's: a store of this name in another database was made at the same time.
            NULL;
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', patience, true);
END $$;
