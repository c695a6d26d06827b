-- Appends events to one stream as a part of the caller's transaction: with what else it writes they become durable, or
-- nothing does. The rule, its order and its words are those of core's `decide`; the rows are those that the server writes.
-- From here to the end of the transaction the caller is the partition's only writer.
CREATE OR REPLACE FUNCTION {schema}.append(stream text, expected text, events jsonb[], key uuid DEFAULT NULL, unless jsonb DEFAULT NULL,
    OUT first_version bigint, OUT last_version bigint, OUT first_position bigint, OUT last_position bigint,
    OUT checkpoint text, OUT duplicate boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = {schema}, pg_temp
-- Each statement has one right plan, whatever the statistics said when it was made.
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    -- A caller's column may have a collation of its own, and names are compared byte by byte.
    name text COLLATE "C" := append.stream;
    wanted text COLLATE "C" := append.expected;
    patience text;
    partition_count int;
    chunk_size bigint;
    home int;
    sent record;
    judged record;
    after_pos bigint := 0;
    its_epoch int;
    head bigint;
    head_at timestamptz;
    recorded timestamptz;
    since timestamptz;
    hash bytea;
    known record;
    current_version bigint;
    current_chunk int;
    is_met boolean;
    matched bigint;
BEGIN
    -- 1. What can be refused before anybody waits.
    PERFORM check_append(name, wanted, append.unless);
    sent := read_events(append.events, append.key IS NOT NULL);
    -- Nobody waits for this; whether it still holds is looked at behind the lock.
    judged := judge_events(name, sent.types, sent.schema_versions, sent.data);
    SELECT s.partitions, s.chunk_events INTO partition_count, chunk_size FROM store s;
    home := CASE partition_count WHEN 1 THEN 0 ELSE partition_of(name, partition_count) END;
    -- Another database than the log was last written on: a new epoch begins before anything is decided in it.
    PERFORM meet_database();
    IF append.unless ->> 'after' IS NOT NULL THEN
        after_pos := resolve_checkpoint('unless.after', append.unless ->> 'after', home);
    END IF;

    -- 2. Guards, for everybody waits behind the lock: a client that goes away with it loses its session, and what is
    -- acknowledged is on disk, whatever the session prefers. A stricter setting of the caller's stays.
    IF current_setting('idle_in_transaction_session_timeout')::interval NOT BETWEEN interval '1 ms' AND interval '5 s' THEN
        PERFORM set_config('idle_in_transaction_session_timeout', '5s', true);
    END IF;
    IF current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    patience := limit_patience();

    -- 3. Lock, and nothing else: what is decided is read by later statements, each with a snapshot of its own.
    SELECT h.epoch, h.floor_pos INTO its_epoch, head FROM heads h WHERE h.part = home FOR NO KEY UPDATE;
    PERFORM set_config('lock_timeout', patience, true);
    SELECT c.last_pos, c.at INTO known FROM commits c WHERE c.part = home ORDER BY c.first_pos DESC LIMIT 1;
    IF FOUND THEN
        head := known.last_pos;
        head_at := known.at;
    END IF;
    recorded := greatest(clock_timestamp(), head_at);

    -- 4. A known key, then known ids.
    IF append.key IS NOT NULL THEN
        hash := sha256(int8send(octet_length(name)) || convert_to(name, 'UTF8') || int8send(8) || int8send(sent.count) || sent.content);
        since := known_from(ARRAY[append.key], recorded);
        SELECT k.first_pos, k.n, k.content INTO known
          FROM append_keys k WHERE k.part = home AND k.key = append.key AND k.at >= since;
        IF FOUND THEN
            IF known.content <> hash THEN
                RAISE EXCEPTION 'idempotency key % was used for an append with other content; use a new key for a new append', append.key
                    USING ERRCODE = 'invalid_parameter_value', CONSTRAINT = 'key-reused';
            END IF;
            first_position := known.first_pos;
            last_position := known.first_pos + known.n - 1;
            -- Planned anew, so that only the chunk in question is looked at and locked; here and below.
            EXECUTE 'SELECT e.version FROM events e WHERE e.part = $1 AND e.position = $2'
               INTO STRICT first_version USING home, first_position;
            duplicate := true;
        END IF;
    END IF;
    IF duplicate IS NULL AND sent.given THEN
        since := known_from(sent.ids, recorded);
        SELECT array_agg(k.position) AS positions INTO known
          FROM event_ids k WHERE k.part = home AND k.id = ANY (sent.ids) AND k.at >= since;
        IF known.positions IS NOT NULL THEN
            EXECUTE 'SELECT count(*) AS n, array_agg(s.id ORDER BY s.n) AS ids,
                            count(DISTINCT e.version - s.n) AS runs, min(e.version) AS first_version,
                            min(e.position) AS first_pos, max(e.position) AS last_pos,
                            (array_agg(s.id ORDER BY s.n) FILTER (WHERE NOT e.same))[1] AS other_id,
                            (array_agg(e.stream ORDER BY s.n) FILTER (WHERE NOT e.same))[1] AS other_stream,
                            (array_agg(e.version ORDER BY s.n) FILTER (WHERE NOT e.same))[1] AS other_version
                       FROM unnest($3, $4, $5, $6, $7, $8, $9) WITH ORDINALITY
                                s(id, type, schema_version, data, metadata, tags, occurred_at, n),
                            LATERAL (SELECT e.version, e.position, e.stream,
                                            e.stream = $10 AND e.type = s.type
                                            AND (s.schema_version IS NULL OR s.schema_version = e.schema_version)
                                            AND e.data IS NOT NULL AND e.data::jsonb = s.data::jsonb
                                            AND e.metadata::jsonb IS NOT DISTINCT FROM s.metadata::jsonb
                                            AND e.tags IS NOT DISTINCT FROM s.tags::text[]
                                            AND (s.occurred_at IS NOT DISTINCT FROM e.occurred_at
                                                 OR e.occurred_at IS NULL AND s.occurred_at = e.recorded_at) AS same
                                       FROM events e WHERE e.part = $1 AND e.position = ANY ($2) AND e.id = s.id) e'
               INTO known
              USING home, known.positions, sent.ids, sent.types, sent.schema_versions, sent.data, sent.metadata, sent.tags,
                    sent.occurred_at, name;
            IF known.other_id IS NOT NULL THEN
                RAISE EXCEPTION 'event id % belongs to another event, version % of `%`; give new events new ids',
                    known.other_id, known.other_version, known.other_stream
                    USING ERRCODE = 'invalid_parameter_value', CONSTRAINT = 'id-reused';
            ELSIF known.n < sent.count OR known.runs > 1 THEN
                RAISE EXCEPTION '% of the events are in the log already and the others are not (known: %); send an append again as it was, or give new events new ids',
                    known.n, array_to_string(known.ids[:5], ' ')
                    USING ERRCODE = 'serialization_failure', CONSTRAINT = 'ids-known';
            END IF;
            first_version := known.first_version;
            first_position := known.first_pos;
            last_position := known.last_pos;
            duplicate := true;
        END IF;
    END IF;

    IF duplicate THEN
        -- The COMMIT that wrote them may have lost its answer: this one waits for standbys in its place.
        PERFORM pg_logical_emit_message(true, 'pacioli', 'sync');
    ELSE
        -- 5. The schemas, the expected version, then the condition.
        duplicate := false;
        IF judged.generation <> (SELECT r.generation FROM registry r) THEN
            judged := judge_events(name, sent.types, sent.schema_versions, sent.data);
        END IF;
        IF judged.problem IS NOT NULL THEN
            RAISE EXCEPTION USING MESSAGE = judged.problem, ERRCODE = 'invalid_parameter_value', CONSTRAINT = judged.constraint_name;
        END IF;
        SELECT s.version, s.last_chunk INTO current_version, current_chunk FROM streams s WHERE s.part = home AND s.stream = name;
        is_met := CASE wanted WHEN 'any' THEN true
                              WHEN 'none' THEN current_version IS NULL
                              WHEN 'exists' THEN current_version IS NOT NULL
                              ELSE current_version IS NOT NULL AND current_version = wanted::bigint END;
        IF NOT is_met THEN
            RAISE EXCEPTION 'stream `%` was expected % but %', name,
                CASE wanted WHEN 'none' THEN 'not to exist' WHEN 'exists' THEN 'to exist' ELSE 'at version ' || wanted::bigint END,
                coalesce('is at version ' || current_version || '; read it again and decide again', 'does not exist')
                USING ERRCODE = 'serialization_failure', CONSTRAINT = 'wrong-version';
        END IF;
        IF append.unless IS NOT NULL THEN
            matched := first_match(home, after_pos, append.unless);
            IF matched IS NOT NULL THEN
                RAISE EXCEPTION 'an event that matches the condition lies at %:%; read again and decide again', home, matched
                    USING ERRCODE = 'serialization_failure', CONSTRAINT = 'condition-matched';
            END IF;
        END IF;

        -- 6. It is accepted: write what the server would. Versions and positions follow from the order.
        first_version := coalesce(current_version + 1, 0);
        first_position := head + 1;
        last_position := head + sent.count;
        IF NOT EXISTS (SELECT FROM chunks c WHERE c.chunk = append.last_position / chunk_size) THEN
            PERFORM make_chunks(append.last_position, 1);
        END IF;
        IF NOT EXISTS (SELECT FROM periods p WHERE p.begins_at <= recorded AND p.ends_at > recorded) THEN
            PERFORM turn_periods(forget => false);
        END IF;
        INSERT INTO events (part, recorded_at, schema_version, position, version, occurred_at, id, stream, type, data, metadata, tags)
        SELECT home, recorded, coalesce(e.schema_version, 1), head + e.n, append.first_version + e.n - 1, e.occurred_at, e.id, name, e.type,
               e.data::json, e.metadata::json, e.tags::text[]
          FROM unnest(judged.schema_versions, sent.occurred_at, sent.ids, sent.types, sent.data, sent.metadata, sent.tags)
               WITH ORDINALITY e(schema_version, occurred_at, id, type, data, metadata, tags, n);
        INSERT INTO event_ids (part, at, id, position)
        SELECT home, recorded, e.id, head + e.n FROM unnest(sent.ids) WITH ORDINALITY e(id, n);
        IF cardinality(array_remove(sent.tags, NULL)) > 0 THEN
            INSERT INTO event_tags (part, tag, position)
            SELECT home, t.tag, head + e.n FROM unnest(sent.tags) WITH ORDINALITY e(tags, n), unnest(e.tags::text[]) t(tag);
        END IF;
        IF current_chunk IS DISTINCT FROM append.last_position / chunk_size THEN
            INSERT INTO stream_chunks (part, stream, chunk, first_version)
            SELECT home, name, c, append.first_version + greatest(c * chunk_size - append.first_position, 0)
              FROM generate_series(append.first_position / chunk_size, append.last_position / chunk_size) c
             WHERE c > coalesce(current_chunk, -1);
        END IF;
        IF current_version IS NULL THEN
            INSERT INTO streams (part, stream, version, last_chunk, first_pos)
            VALUES (home, name, append.first_version + sent.count - 1, append.last_position / chunk_size, append.first_position);
        ELSE
            UPDATE streams s SET version = append.first_version + sent.count - 1, last_chunk = append.last_position / chunk_size
             WHERE s.part = home AND s.stream = name;
        END IF;
        IF append.key IS NOT NULL THEN
            INSERT INTO append_keys (part, at, key, first_pos, n, content)
            VALUES (home, recorded, append.key, append.first_position, sent.count, hash);
        END IF;
        INSERT INTO commits (part, first_pos, last_pos, at) VALUES (home, append.first_position, append.last_position, recorded);
        -- 7. Read models that are to be there with the events; one that fails refuses the append.
        IF EXISTS (SELECT FROM sync_builds) THEN
            PERFORM run_sync(home, append.first_position, append.last_position);
        END IF;
    END IF;
    last_version := first_version + sent.count - 1;
    checkpoint := CASE WHEN partition_count = 1 AND its_epoch = 1 THEN '0:' || last_position
        ELSE checkpoint_text(array_fill(0::bigint, ARRAY[home]) || last_position
                             || array_fill(0::bigint, ARRAY[partition_count - 1 - home]), its_epoch) END;
END $$;
COMMENT ON FUNCTION {schema}.append(text, text, jsonb[], uuid, jsonb) IS
    'Appends events to a stream in this transaction. Call it as SELECT * FROM append(...), last before COMMIT';
