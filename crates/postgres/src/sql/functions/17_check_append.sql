-- Refuses what can be refused without looking at the log: a transaction that would decide by an old snapshot, a stream,
-- an expectation or a condition that is malformed.
CREATE OR REPLACE FUNCTION {schema}.check_append(stream text, expected text, unless jsonb) RETURNS void LANGUAGE plpgsql
STABLE AS $$
BEGIN
    -- Not a serialization failure: whoever tries again would only be refused again.
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'an append needs a READ COMMITTED transaction, and this one is %',
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'invalid_transaction_state',
                  HINT = 'Begin it with BEGIN ISOLATION LEVEL READ COMMITTED. The expected version and the condition guard the append.';
    END IF;
    IF stream IS NULL OR {schema}.name_problem(stream, 256) IS NOT NULL THEN
        RAISE EXCEPTION 'stream: %', coalesce({schema}.name_problem(stream, 256), 'is missing')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Whoever owns the tables changes the registry, and could do worse.
    IF stream = '$schemas' AND NOT pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = '{schema}.schemas'::regclass), 'MEMBER') THEN
        RAISE EXCEPTION 'stream: `$schemas` is the history of the schema registry, which alone writes it; change the registry'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF expected IS NULL OR expected !~ '^(any|none|exists|[0-9]{1,18})$' THEN
        RAISE EXCEPTION 'expected: must be `any`, `none`, `exists` or a version' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF unless IS NOT NULL THEN
        PERFORM {schema}.check_condition(unless);
    END IF;
END $$;

-- From when on these ids or keys can have been recorded: a UUIDv7 tells its own time, a day off at most; any other may be
-- of any, and so may one that was made by a clock that is ahead. It keeps old periods from being looked into.
CREATE OR REPLACE FUNCTION {schema}.known_from(ids uuid[], now timestamptz) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT CASE WHEN bool_and(substr(i::text, 15, 1) = '7' AND told <= now + interval '5 s')
                        THEN least(now, min(told)) - interval '1 day'
                        ELSE '-infinity' END
              FROM unnest(ids) i,
                   to_timestamp(('x' || substr(i::text, 1, 8) || substr(i::text, 10, 4))::bit(48)::bigint / 1000.0) told);
END $$;

-- Waits for locks for two seconds at most from now on, or less where the caller wants less. Returns what to go back to.
CREATE OR REPLACE FUNCTION {schema}.limit_patience() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    patience text := current_setting('lock_timeout');
BEGIN
    IF patience::interval NOT BETWEEN interval '1 ms' AND interval '2 s' THEN
        PERFORM set_config('lock_timeout', '2s', true);
    END IF;
    RETURN patience;
END $$;
