-- Makes the period of now and, once a quarter of it is left, the next one; drops periods that ended longer ago than
-- ids and keys are remembered, unless told not to `forget`. Returns what it did, a line each. What is in the way of either
-- is not waited for: there is a next time.
CREATE OR REPLACE FUNCTION {schema}.turn_periods(forget boolean DEFAULT true) RETURNS SETOF text LANGUAGE plpgsql
SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    remember interval := (SELECT s.remember FROM store s);
    patience text := limit_patience();
    newest periods;
    old periods;
BEGIN
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended('{schema} periods', 0));
        SELECT * INTO newest FROM periods ORDER BY period DESC LIMIT 1;
        WHILE newest.period IS NULL OR newest.ends_at < clock_timestamp() + remember / 4 LOOP
            -- The first begins before everything, because clocks may be set back.
            newest := (coalesce(newest.period + 1, 1), coalesce(newest.ends_at, '-infinity'),
                       greatest(coalesce(newest.ends_at, clock_timestamp()), clock_timestamp()) + remember);
            EXECUTE format('CREATE TABLE %I (LIKE event_ids)', 'event_ids_p' || newest.period);
            EXECUTE format('CREATE UNIQUE INDEX ON %I (part, id)', 'event_ids_p' || newest.period);
            PERFORM guard(format('%I', 'event_ids_p' || newest.period)::regclass);
            EXECUTE format('ALTER TABLE event_ids ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                           'event_ids_p' || newest.period, newest.begins_at, newest.ends_at);
            EXECUTE format('CREATE TABLE %I (LIKE append_keys INCLUDING CONSTRAINTS)', 'append_keys_p' || newest.period);
            EXECUTE format('CREATE UNIQUE INDEX ON %I (part, key)', 'append_keys_p' || newest.period);
            PERFORM guard(format('%I', 'append_keys_p' || newest.period)::regclass);
            EXECUTE format('ALTER TABLE append_keys ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                           'append_keys_p' || newest.period, newest.begins_at, newest.ends_at);
            INSERT INTO periods SELECT newest.*;
            RETURN NEXT format('made period %s of ids and keys, until %s', newest.period, newest.ends_at);
        END LOOP;
    EXCEPTION WHEN lock_not_available THEN
        -- Only where appends have none to go to, it is an error.
        IF NOT EXISTS (SELECT FROM periods WHERE begins_at <= clock_timestamp() AND ends_at > clock_timestamp()) THEN
            RAISE;
        END IF;
        forget := false;
    END;
    IF forget AND EXISTS (SELECT FROM periods WHERE ends_at < clock_timestamp() - remember) THEN
        -- To drop a partition locks out everybody, and who waits for that lock makes all wait who come after.
        IF patience::interval NOT BETWEEN interval '1 ms' AND interval '50 ms' THEN
            PERFORM set_config('lock_timeout', '50ms', true);
        END IF;
        FOR old IN SELECT * FROM periods WHERE ends_at < clock_timestamp() - remember ORDER BY period LOOP
            BEGIN
                LOCK TABLE ONLY event_ids, ONLY append_keys IN ACCESS EXCLUSIVE MODE;
                EXECUTE format('DROP TABLE %I', 'event_ids_p' || old.period);
                EXECUTE format('DROP TABLE %I', 'append_keys_p' || old.period);
                DELETE FROM periods WHERE period = old.period;
            EXCEPTION WHEN lock_not_available THEN
                EXIT;
            END;
            RETURN NEXT format('forgot the ids and keys of period %s', old.period);
        END LOOP;
    END IF;
    PERFORM set_config('lock_timeout', patience, true);
END $$;
