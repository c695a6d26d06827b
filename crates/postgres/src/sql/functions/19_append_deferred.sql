-- Runs an append that was queued, inside COMMIT.
CREATE OR REPLACE FUNCTION {schema}.run_deferred() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = {schema}, pg_temp AS $$
DECLARE
    patience text;
BEGIN
    -- The locks of all partitions that this transaction is to append to, in their order: so no two of them can wait for
    -- each other. Who has one queued append has nothing to order.
    IF EXISTS (SELECT FROM deferred_appends d WHERE d.transaction = NEW.transaction AND d.part <> NEW.part) THEN
        patience := limit_patience();
        PERFORM FROM heads h
          WHERE h.part = ANY (ARRAY(SELECT d.part FROM deferred_appends d WHERE d.transaction = NEW.transaction))
          ORDER BY h.part FOR NO KEY UPDATE;
        PERFORM set_config('lock_timeout', patience, true);
    END IF;
    -- It goes in the transaction that wrote it, so nobody else ever sees it.
    DELETE FROM deferred_appends d WHERE d.transaction = NEW.transaction AND d.id = NEW.id;
    PERFORM append(NEW.stream, NEW.expected, NEW.events, NEW.key, NEW.unless);
    RETURN NULL;
END $$;

-- Queues an append for this transaction's COMMIT, which alone takes the partition's lock: however long the transaction
-- takes until then, nobody waits for it. A conflict is an error of COMMIT. What is malformed is refused at once.
CREATE OR REPLACE FUNCTION {schema}.append_deferred(stream text, expected text, events jsonb[], key uuid DEFAULT NULL, unless jsonb DEFAULT NULL)
RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = {schema}, pg_temp AS $$
BEGIN
    PERFORM check_append(append_deferred.stream, append_deferred.expected, append_deferred.unless);
    PERFORM read_events(append_deferred.events, false);
    INSERT INTO deferred_appends (part, stream, expected, events, key, unless)
    SELECT partition_of(append_deferred.stream, s.partitions), append_deferred.stream, append_deferred.expected,
           append_deferred.events, append_deferred.key, append_deferred.unless
      FROM store s;
END $$;
COMMENT ON FUNCTION {schema}.append_deferred(text, text, jsonb[], uuid, jsonb) IS
    'Appends events to a stream when this transaction commits. A conflict is an error of COMMIT, SQLSTATE 40001';

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = '{schema}.deferred_appends'::regclass AND tgname = 'run_deferred') THEN
        CREATE CONSTRAINT TRIGGER run_deferred AFTER INSERT ON {schema}.deferred_appends
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.run_deferred();
    END IF;
END $$;
