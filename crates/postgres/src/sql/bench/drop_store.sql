-- Drops a store that a benchmark made, with its publication and its roles. Placeholder: {schema}. No binds.
DO $$
DECLARE
    left_behind name;
BEGIN
    DROP PUBLICATION IF EXISTS {schema}_bus;
    DROP SCHEMA IF EXISTS {schema} CASCADE;
    FOR left_behind IN
        SELECT rolname FROM pg_roles
         WHERE rolname IN ('{schema}_owner', '{schema}_appender', '{schema}_reader', '{schema}_projector', '{schema}_replicator',
                           '{schema}_sync')
    LOOP
        EXECUTE format('DROP OWNED BY %I', left_behind);
        EXECUTE format('DROP ROLE %I', left_behind);
    END LOOP;
END $$
