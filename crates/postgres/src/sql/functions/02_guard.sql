-- Puts the guard against changes on a table, also on sessions that replay replication. A statement trigger is not
-- inherited by partitions, so each chunk gets its own.
CREATE OR REPLACE FUNCTION {schema}.guard(guarded regclass, against text DEFAULT 'UPDATE OR DELETE OR TRUNCATE') RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = guarded AND tgname = 'append_only') THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TRIGGER append_only BEFORE %s ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change()', against, guarded);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only', guarded);
END $$;
