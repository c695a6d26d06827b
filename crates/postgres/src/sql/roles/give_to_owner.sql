-- Gives all that is in the schema to the owner's role, where there is one and this session's role may. Placeholder: {schema}.
DO $$
DECLARE
    me pg_catalog.pg_roles;
    owner_id oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = '{schema}_owner');
    usable boolean;
    mine text;
BEGIN
    IF owner_id IS NULL THEN
        RETURN;
    END IF;
    SELECT * INTO me FROM pg_catalog.pg_roles WHERE rolname = current_user;
    -- From 16 on, who made a role may grant it but is not yet a member that may use it.
    usable := me.rolsuper OR pg_has_role(me.oid, owner_id, 'USAGE')
              AND (current_setting('server_version_num')::int < 160000 OR pg_has_role(me.oid, owner_id, 'SET'));
    IF NOT usable THEN
        BEGIN
            EXECUTE format('GRANT %I TO %I', '{schema}_owner', current_user);
        EXCEPTION
            WHEN insufficient_privilege THEN
                RETURN;
            WHEN unique_violation OR internal_error THEN
                -- "tuple concurrently updated": another session of this role was first, which is as good.
                IF NOT pg_has_role(me.oid, owner_id, 'USAGE') THEN
                    RAISE;
                END IF;
        END;
    END IF;

    FOR mine IN
        SELECT format('ALTER SCHEMA %I OWNER TO %I', nspname, '{schema}_owner')
          FROM pg_catalog.pg_namespace WHERE nspname = '{schema}' AND nspowner <> owner_id
        UNION ALL
        -- A sequence of a column goes with its table.
        SELECT format('ALTER TABLE %s OWNER TO %I', c.oid::regclass, '{schema}_owner')
          FROM pg_catalog.pg_class c
         WHERE c.relnamespace = '{schema}'::regnamespace AND c.relowner <> owner_id AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND c.relkind = 'S' AND d.deptype IN ('a', 'i'))
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO %I', p.oid::regprocedure, '{schema}_owner')
          FROM pg_catalog.pg_proc p WHERE p.pronamespace = '{schema}'::regnamespace AND p.proowner <> owner_id
           -- It has a role of its own.
           AND (p.proname <> 'run_sync' OR NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{schema}_sync'))
        UNION ALL
        SELECT format('ALTER TYPE %s OWNER TO %I', t.oid::regtype, '{schema}_owner')
          FROM pg_catalog.pg_type t
         WHERE t.typnamespace = '{schema}'::regnamespace AND t.typowner <> owner_id AND t.typtype IN ('c', 'd', 'e')
           AND (t.typrelid = 0 OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
        UNION ALL
        -- Who is no superuser may give a publication only to a role that may create in the database, and keeps it.
        SELECT DISTINCT format('ALTER PUBLICATION %I OWNER TO %I', p.pubname, '{schema}_owner')
          FROM pg_catalog.pg_publication p
          JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid
          JOIN pg_catalog.pg_class c ON c.oid = r.prrelid
         WHERE c.relnamespace = '{schema}'::regnamespace AND p.pubowner = me.oid AND me.rolsuper
    LOOP
        EXECUTE mine;
    END LOOP;
END $$;
