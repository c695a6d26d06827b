-- Takes events apart that came as JSON: one array a column, as they are stored. Refuses the first that is malformed or too
-- large, by the rules of core and of the HTTP door, and names its field; the first event is events[1], as in SQL. What is
-- fixed here is the default elsewhere: 1 MiB an event, 4 MiB and 1,000 events an append, 8 KiB of metadata, 5 s ahead.
-- `given` says whether an id came from the caller. `content` is what a key stands for, as core's content_hash feeds it,
-- without the stream; it costs something, and only a key asks for it.
-- A loop of plain expressions, because those need no query to be set up: a single event is what most appends have.
CREATE OR REPLACE FUNCTION {schema}.read_events(events jsonb[], keyed boolean,
    OUT count int, OUT given boolean, OUT ids uuid[], OUT types text[], OUT schema_versions int[], OUT data text[],
    OUT metadata text[], OUT tags text[], OUT occurred_at timestamptz[], OUT content bytea)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    members CONSTANT text[] := ARRAY['type', 'data', 'id', 'metadata', 'tags', 'occurred_at', 'schema_version'];
    latest CONSTANT timestamptz := clock_timestamp() + interval '5 seconds';
    millis CONSTANT bigint := extract(epoch FROM clock_timestamp()) * 1000;
    sent CONSTANT int := coalesce(cardinality(events), 0);
    n int := 0;
    bytes bigint := 0;
    parts bytea[];
    problem text;
    event jsonb;
    about jsonb;
    type text;
    body text;
    id uuid;
    moment timestamptz;
    schema_version int;
    labels text[];
    actor text;
    correlation_id text;
    causation_id text;
    traceparent text;
    headers text;
    size int;
BEGIN
    IF sent = 0 THEN
        RAISE EXCEPTION 'events: an append needs at least one event' USING ERRCODE = 'invalid_parameter_value';
    ELSIF sent > 1000 THEN
        RAISE EXCEPTION 'events: an append has at most 1000 events, this one has %; split it', sent
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    given := false;
    FOREACH event IN ARRAY events LOOP
        n := n + 1;
        -- 1. Its shape. `->` of what is no object is NULL, and so is the type of what is not there.
        about := CASE WHEN jsonb_typeof(event -> 'metadata') = 'object' THEN event -> 'metadata' END;
        problem := CASE
            WHEN event IS NULL OR jsonb_typeof(event) <> 'object' THEN
                ': must be a JSON object, like {"type":"MoneyDeposited","data":{}}'
            WHEN event - members <> '{}' THEN
                ': is no member of an event (type, data, id, metadata, tags, occurred_at, schema_version); headers of your own go into `metadata`'
            WHEN jsonb_typeof(event -> 'type') NOT IN ('string', 'null') THEN '.type: must be text, in quotation marks'
            WHEN jsonb_typeof(event -> 'id') NOT IN ('string', 'null') THEN '.id: must be text, in quotation marks'
            WHEN jsonb_typeof(event -> 'occurred_at') NOT IN ('string', 'null') THEN '.occurred_at: must be text, in quotation marks'
            WHEN jsonb_typeof(event -> 'tags') NOT IN ('array', 'null') THEN '.tags: must be a list of texts, like ["a","b"]'
            WHEN jsonb_typeof(event -> 'metadata') NOT IN ('object', 'null') THEN '.metadata: must be a JSON object'
            WHEN event ->> 'type' IS NULL THEN '.type: is missing'
            WHEN event -> 'data' IS NULL THEN '.data: is missing'
        END;
        IF problem LIKE ': is no member%' THEN
            problem := (SELECT '.' || left(k, 80) || problem FROM jsonb_object_keys(event - members) k LIMIT 1);
        END IF;
        EXIT WHEN problem IS NOT NULL;

        -- 2. Its members.
        type := event ->> 'type';
        body := event -> 'data';
        id := NULL;
        IF event ->> 'id' IS NOT NULL THEN
            IF event ->> 'id' !~ '^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$' THEN
                problem := '.id: `' || left(event ->> 'id', 80) || '` is no UUID';
                EXIT;
            END IF;
            id := event ->> 'id';
            given := true;
        END IF;
        schema_version := NULL;
        IF event ->> 'schema_version' IS NOT NULL THEN
            IF event ->> 'schema_version' !~ '^0*[1-9][0-9]{0,8}$' THEN
                problem := '.schema_version: must be a whole number from 1 on';
                EXIT;
            END IF;
            schema_version := event ->> 'schema_version';
        END IF;
        moment := NULL;
        IF event ->> 'occurred_at' IS NOT NULL THEN
            moment := {schema}.read_moment(event ->> 'occurred_at');
            IF moment IS NULL THEN
                problem := '.occurred_at: `' || left(event ->> 'occurred_at', 80)
                           || '` is no RFC 3339 time; write it like `2026-11-20T13:59:56Z`';
                EXIT;
            ELSIF moment > latest THEN
                problem := format('.occurred_at: lies %s s ahead of the store''s clock; at most 5 s are allowed. Check the clock of the producer',
                                  extract(epoch FROM moment - latest)::bigint + 5);
                EXIT;
            END IF;
        END IF;
        labels := NULL;
        IF event -> 'tags' NOT IN ('null', '[]') THEN
            IF EXISTS (SELECT FROM jsonb_array_elements(event -> 'tags') t WHERE jsonb_typeof(t) <> 'string') THEN
                problem := '.tags: must be a list of texts, like ["a","b"]';
                EXIT;
            END IF;
            labels := ARRAY(SELECT jsonb_array_elements_text(event -> 'tags'));
            problem := coalesce(
                (SELECT '.tags: tag ' || {schema}.tag_problem(l) FROM unnest(labels) l WHERE {schema}.tag_problem(l) IS NOT NULL LIMIT 1),
                CASE WHEN cardinality(labels) > 32 THEN
                    format('.tags: tags are %s; at most 32 are allowed', cardinality(labels)) END,
                (SELECT '.tags: tags name `' || l || '` twice' FROM unnest(labels) l GROUP BY l HAVING count(*) > 1 LIMIT 1));
            EXIT WHEN problem IS NOT NULL;
        END IF;
        actor := NULL;
        correlation_id := NULL;
        causation_id := NULL;
        traceparent := NULL;
        headers := NULL;
        size := octet_length(body);
        IF about IS NOT NULL THEN
            problem := (SELECT format('.metadata.%s: must be text, in quotation marks', k)
                          FROM unnest(ARRAY['actor', 'correlation_id', 'causation_id', 'traceparent']) k
                         WHERE jsonb_typeof(about -> k) NOT IN ('string', 'null') LIMIT 1);
            EXIT WHEN problem IS NOT NULL;
            actor := about ->> 'actor';
            correlation_id := about ->> 'correlation_id';
            causation_id := about ->> 'causation_id';
            traceparent := about ->> 'traceparent';
            -- Whatever is no typed field is a free header.
            headers := nullif(about - ARRAY['actor', 'correlation_id', 'causation_id', 'traceparent'], '{}');
            size := coalesce(octet_length(actor), 0) + coalesce(octet_length(correlation_id), 0)
                    + coalesce(octet_length(causation_id), 0) + coalesce(octet_length(traceparent), 0)
                    + coalesce(octet_length(headers), 0);
            problem := CASE
                WHEN size > 8192 THEN format('.metadata: metadata has at most 8192 bytes, this has %s', size)
                WHEN {schema}.json_problem(about, headers) IS NOT NULL THEN '.metadata: ' || {schema}.json_problem(about, headers)
                WHEN {schema}.has_control(actor) THEN '.metadata.actor: has a control character'
                WHEN {schema}.has_control(correlation_id) THEN '.metadata.correlation_id: has a control character'
                WHEN {schema}.has_control(causation_id) THEN '.metadata.causation_id: has a control character'
                WHEN traceparent !~ '^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$'
                     AND traceparent !~ '^(?!00|ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$'
                     OR {schema}.has_control(traceparent) THEN
                    '.metadata.traceparent: is no W3C trace context; it looks like `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`'
            END;
            size := size + octet_length(body);
        END IF;
        problem := coalesce(problem, CASE
            WHEN {schema}.name_problem(type, 128) IS NOT NULL THEN '.type: ' || {schema}.name_problem(type, 128)
            WHEN size > 1048576 THEN
                format('.data: an event has at most 1048576 bytes, this one has %s; store the payload elsewhere and put its URL in the event', size)
            WHEN {schema}.json_problem(event -> 'data', body) IS NOT NULL THEN
                '.data: ' || {schema}.json_problem(event -> 'data', body)
        END);
        EXIT WHEN problem IS NOT NULL;

        -- 3. Its columns. An id that is made is a UUIDv7: the time, and behind it the event's place in the append.
        bytes := bytes + size;
        ids[n] := coalesce(id, encode(int8send((millis << 16) | 28672 | n) || substr(uuid_send(gen_random_uuid()), 9), 'hex')::uuid);
        types[n] := type;
        schema_versions[n] := schema_version;
        data[n] := body;
        metadata[n] := CASE WHEN coalesce(actor, correlation_id, causation_id, traceparent, headers) IS NOT NULL THEN
            '{' || concat_ws(',', '"actor":' || to_json(actor), '"correlation_id":' || to_json(correlation_id),
                             '"causation_id":' || to_json(causation_id), '"traceparent":' || to_json(traceparent),
                             '"headers":' || headers) || '}' END;
        tags[n] := labels::text;
        occurred_at[n] := moment;
        IF keyed THEN
            -- Each part has its length before it. The two empty ones are `source` and `source_id`, which an import sets.
            parts[n] := int8send(octet_length(type)) || convert_to(type, 'UTF8')
                || int8send(4) || int4send(coalesce(schema_version, 0))
                || int8send(1) || '\x01'
                || int8send(octet_length(body)) || convert_to(body, 'UTF8')
                || int8send(coalesce(octet_length(actor), 0)) || convert_to(coalesce(actor, ''), 'UTF8')
                || int8send(coalesce(octet_length(correlation_id), 0)) || convert_to(coalesce(correlation_id, ''), 'UTF8')
                || int8send(coalesce(octet_length(causation_id), 0)) || convert_to(coalesce(causation_id, ''), 'UTF8')
                || int8send(coalesce(octet_length(traceparent), 0)) || convert_to(coalesce(traceparent, ''), 'UTF8')
                || int8send(0) || int8send(0)
                || int8send(coalesce(octet_length(headers), 0)) || convert_to(coalesce(headers, ''), 'UTF8')
                || int8send(octet_length(coalesce(array_to_string(labels, ','), '')))
                || convert_to(coalesce(array_to_string(labels, ','), ''), 'UTF8')
                || int8send(9) || CASE WHEN moment IS NULL THEN '\x000000000000000000'
                                  ELSE '\x01' || int8send((extract(epoch FROM moment) * 1000000)::bigint) END;
        END IF;
    END LOOP;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'events[%]%', n, problem USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF bytes > 4194304 THEN
        RAISE EXCEPTION 'events: an append has at most 4194304 bytes, this one has %; split it', bytes
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF sent > 1 AND given AND sent > (SELECT count(DISTINCT i) FROM unnest(ids) i) THEN
        RAISE EXCEPTION 'events: the id % is used twice in this append; every event needs its own',
            (SELECT i FROM unnest(ids) i GROUP BY i HAVING count(*) > 1 LIMIT 1)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    count := sent;
    IF keyed THEN
        content := (SELECT string_agg(p, '' ORDER BY o) FROM unnest(parts) WITH ORDINALITY u(p, o));
    END IF;
END $$;
