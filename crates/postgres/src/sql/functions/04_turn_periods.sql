-- Makes the period of now and, once a quarter of it is left, the next one; drops periods that ended longer ago than
-- ids and keys are remembered. Returns what it did, a line each.
CREATE OR REPLACE FUNCTION {schema}.turn_periods() RETURNS SETOF text LANGUAGE plpgsql
SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    remember interval := (SELECT s.remember FROM store s);
    newest periods;
    old periods;
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
    FOR old IN SELECT * FROM periods WHERE ends_at < clock_timestamp() - remember LOOP
        EXECUTE format('DROP TABLE %I', 'event_ids_p' || old.period);
        EXECUTE format('DROP TABLE %I', 'append_keys_p' || old.period);
        DELETE FROM periods WHERE period = old.period;
        RETURN NEXT format('forgot the ids and keys of period %s', old.period);
    END LOOP;
END $$;
