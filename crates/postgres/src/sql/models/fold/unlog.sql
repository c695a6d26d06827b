-- Takes the tables of a schema out of the write-ahead log, where their foreign keys allow it. Placeholder: {build}.
DO $$
DECLARE
    own record;
BEGIN
    FOR own IN SELECT oid::regclass AS name FROM pg_class WHERE relnamespace = '{build}'::regnamespace AND relkind = 'r' ORDER BY oid DESC LOOP
        BEGIN
            EXECUTE format('ALTER TABLE %s SET UNLOGGED', own.name);
        EXCEPTION WHEN invalid_table_definition THEN
            NULL;
        END;
    END LOOP;
END $$
