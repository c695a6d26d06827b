-- Says what each role of a store may: what stands here and nothing else. Placeholder: {schema}.
-- Chunks and periods are reached through their parents, which asks for no right on them; nobody gets one, so that there
-- is none to forget when the next is made.
DO $$
DECLARE
    callable text;
BEGIN
    -- Who may make things in the schema could put a function or a table of his own in front of what is called there.
    REVOKE ALL ON SCHEMA {schema} FROM PUBLIC;
    -- PostgreSQL lets everybody call a new function.
    REVOKE ALL ON ALL ROUTINES IN SCHEMA {schema} FROM PUBLIC;
    REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC;
    -- These look at nothing but what they are given, and whoever has a right on the view `log` calls them.
    FOR callable IN
        SELECT format('GRANT EXECUTE ON ROUTINE %s TO PUBLIC', p.oid::regprocedure)
          FROM pg_catalog.pg_proc p
         WHERE p.pronamespace = '{schema}'::regnamespace AND (p.proname LIKE 'shape\_%' OR p.proname = 'shapes_within')
    LOOP
        EXECUTE callable;
    END LOOP;
    IF (SELECT count(*) FROM pg_catalog.pg_roles
         WHERE rolname IN ('{schema}_appender', '{schema}_reader', '{schema}_projector', '{schema}_replicator')) < 4 THEN
        RETURN;
    END IF;
    REVOKE ALL ON ALL TABLES IN SCHEMA {schema}
      FROM {schema}_appender, {schema}_reader, {schema}_projector, {schema}_replicator;
    REVOKE ALL ON ALL ROUTINES IN SCHEMA {schema}
      FROM {schema}_appender, {schema}_reader, {schema}_projector, {schema}_replicator;
    GRANT USAGE ON SCHEMA {schema} TO {schema}_appender, {schema}_reader, {schema}_projector, {schema}_replicator;
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{schema}_sync') THEN
        GRANT USAGE ON SCHEMA {schema} TO {schema}_sync;
        GRANT SELECT ON {schema}.sync_builds TO {schema}_sync;
    END IF;

    -- What is the log, or says how it lies.
    GRANT SELECT ON {schema}.log, {schema}.shaped_events, {schema}.events, {schema}.event_tags, {schema}.streams, {schema}.stream_chunks, {schema}.commits,
                    {schema}.heads, {schema}.epochs, {schema}.chunks, {schema}.store, {schema}.migrations, {schema}.indexes,
                    {schema}.registry, {schema}.schemas, {schema}.schema_settings
       TO {schema}_appender, {schema}_reader, {schema}_projector;
    GRANT SELECT, INSERT, UPDATE ON {schema}.checkpoints TO {schema}_appender, {schema}_projector;
    -- A server notes who reads through it, whatever else it may.
    GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.schema_readers TO {schema}_appender, {schema}_reader;
    -- Which read models appends write.
    GRANT SELECT ON {schema}.sync_builds TO {schema}_appender;
    GRANT SELECT, INSERT, DELETE ON {schema}.sync_builds TO {schema}_projector;

    -- What a server does beside reading. The rest of what is written is written by functions, as the owner.
    GRANT SELECT ON {schema}.event_ids, {schema}.append_keys, {schema}.periods, {schema}.leases, {schema}.snapshots TO {schema}_appender;
    GRANT INSERT ON {schema}.events, {schema}.event_tags, {schema}.event_ids, {schema}.append_keys, {schema}.stream_chunks,
                    {schema}.commits, {schema}.streams, {schema}.leases, {schema}.snapshots TO {schema}_appender;
    GRANT UPDATE (version, last_chunk) ON {schema}.streams TO {schema}_appender;
    GRANT UPDATE ON {schema}.leases, {schema}.snapshots TO {schema}_appender;
    GRANT DELETE ON {schema}.snapshots TO {schema}_appender;
    -- Without it nobody may lock a row; a trigger refuses the update itself.
    GRANT UPDATE (part) ON {schema}.heads TO {schema}_appender, {schema}_projector;

    -- What logical replication sends.
    GRANT SELECT ON {schema}.commits TO {schema}_replicator;

    FOR callable IN
        SELECT format('GRANT EXECUTE ON ROUTINE %s TO {schema}_appender', p.oid::regprocedure)
          FROM pg_catalog.pg_proc p
         WHERE p.pronamespace = '{schema}'::regnamespace
           AND p.proname IN ('append', 'append_deferred', 'make_chunks', 'turn_periods', 'meet_database', 'partition_of', 'run_sync')
        UNION ALL
        -- The functions that append run as the owner, and this one belongs to another.
        SELECT format('GRANT EXECUTE ON ROUTINE %s TO {schema}_owner', p.oid::regprocedure)
          FROM pg_catalog.pg_proc p
         WHERE p.pronamespace = '{schema}'::regnamespace AND p.proname = 'run_sync'
           AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{schema}_owner')
        UNION ALL
        SELECT format('GRANT EXECUTE ON ROUTINE %s TO {schema}_reader, {schema}_projector', p.oid::regprocedure)
          FROM pg_catalog.pg_proc p
         WHERE p.pronamespace = '{schema}'::regnamespace AND p.proname = 'partition_of'
    LOOP
        EXECUTE callable;
    END LOOP;
END $$;
