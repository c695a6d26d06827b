-- Puts the views of a build in front of whoever queries, in place of those of the same projection. A view that others build
-- upon keeps its identity where its columns allow it. Placeholders: {catalogue}, {read}, {schema}.
CREATE OR REPLACE FUNCTION {catalogue}.serve(its_name text, its_number int) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = {catalogue}, pg_temp AS $$
DECLARE
    build builds;
    has_reader boolean := EXISTS (SELECT FROM pg_roles WHERE rolname = '{schema}_reader');
    old text;
    own record;
BEGIN
    SELECT b.* INTO STRICT build FROM builds b WHERE b.name = its_name AND b.number = its_number;
    -- Views of relations that the new build has no more; first, so that a name may change hands within the file.
    FOR old IN
        SELECT DISTINCT r.relation FROM relations r
         WHERE r.name = its_name AND r.number <> its_number AND to_regclass(format('{read}.%I', r.relation)) IS NOT NULL
           AND NOT EXISTS (SELECT FROM relations n WHERE n.name = its_name AND n.number = its_number AND n.relation = r.relation)
    LOOP
        EXECUTE format('DROP VIEW {read}.%I', old);
    END LOOP;
    FOR own IN SELECT r.relation FROM relations r WHERE r.name = its_name AND r.number = its_number ORDER BY r.n LOOP
        BEGIN
            EXECUTE format('CREATE OR REPLACE VIEW {read}.%I AS SELECT * FROM %I.%I', own.relation, build.schema_name, own.relation);
        EXCEPTION WHEN invalid_table_definition OR feature_not_supported THEN
            -- Its columns are others now.
            EXECUTE format('DROP VIEW {read}.%I', own.relation);
            EXECUTE format('CREATE VIEW {read}.%I AS SELECT * FROM %I.%I', own.relation, build.schema_name, own.relation);
        END;
        IF has_reader THEN
            EXECUTE format('GRANT SELECT ON {read}.%I TO {schema}_reader', own.relation);
        END IF;
    END LOOP;
END $$
