-- Drops a store that a benchmark made, with its read models, its publication and its roles. Placeholder: {schema}. No binds.
DO $$
DECLARE
    left_behind name;
BEGIN
    DROP PUBLICATION IF EXISTS {schema}_bus;
    -- Read models lie in schemas of their own whose names begin with that of the store.
    FOR left_behind IN
        SELECT nspname FROM pg_namespace WHERE nspname = '{schema}' OR starts_with(nspname::text, '{schema}_')
    LOOP
        EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', left_behind);
    END LOOP;
    FOR left_behind IN
        SELECT rolname FROM pg_roles
         WHERE rolname IN ('{schema}_owner', '{schema}_appender', '{schema}_reader', '{schema}_projector', '{schema}_replicator',
                           '{schema}_sync')
    LOOP
        EXECUTE format('DROP OWNED BY %I', left_behind);
        EXECUTE format('DROP ROLE %I', left_behind);
    END LOOP;
END $$
