-- Moves the counters of a schema's tables behind the rows that are there. Placeholder: {build}.
DO $$
DECLARE
    counter record;
BEGIN
    FOR counter IN
        SELECT s.oid::regclass AS name, t.oid::regclass AS of, a.attname AS column
          FROM pg_class s JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('a', 'i')
          JOIN pg_class t ON t.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
         WHERE s.relkind = 'S' AND s.relnamespace = '{build}'::regnamespace
    LOOP
        EXECUTE format('SELECT setval(%L, coalesce(max(%I), 0) + 1, false) FROM %s', counter.name, counter.column, counter.of);
    END LOOP;
END $$
