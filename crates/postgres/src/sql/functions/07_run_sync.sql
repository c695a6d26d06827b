-- Runs the `sync` projections over events that were just inserted, in the append's transaction. What they say goes through:
-- SQLSTATE P0001 with the constraint `projection-refused`, the projection as its table and the position as its column.
-- It belongs to a role that may do nothing else, so whatever a projection's owner makes of what is called here, it does not
-- run as the owner of the log.
CREATE OR REPLACE FUNCTION {schema}.run_sync(part int, first_pos bigint, last_pos bigint) RETURNS void LANGUAGE plpgsql
VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    build text;
BEGIN
    FOR build IN SELECT s.schema_name FROM sync_builds s ORDER BY s.schema_name LOOP
        EXECUTE format('SELECT %I.apply($1, $2, $3, $4, 0, 1, NULL)', build)
          USING part, first_pos - 1, last_pos, (last_pos - first_pos)::int + 2;
    END LOOP;
END $$
