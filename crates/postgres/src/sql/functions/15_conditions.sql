-- Refuses a condition that is malformed, by the rules of core.
CREATE OR REPLACE FUNCTION {schema}.check_condition(unless jsonb) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    field text := 'unless';
    problem text;
    item jsonb;
    terms int := 0;
    strange text;
    list text;
BEGIN
    <<looking>>
    BEGIN
        IF jsonb_typeof(unless) <> 'object' THEN
            problem := 'must be a JSON object, like {"items":[{"types":["SeatTaken"],"tags":["seat:7"]}],"after":"0:5"}';
            EXIT looking;
        END IF;
        strange := (SELECT k FROM jsonb_object_keys(unless - ARRAY['items', 'after']) k LIMIT 1);
        IF strange IS NOT NULL THEN
            field := 'unless.' || left(strange, 80);
            problem := 'is not known here; the members are items, after';
            EXIT looking;
        END IF;
        field := 'unless.items';
        IF jsonb_typeof(unless -> 'items') IS DISTINCT FROM 'array' THEN
            problem := 'must be a list, like [{"types":["SeatTaken"],"tags":["seat:7"]}]';
            EXIT looking;
        ELSIF jsonb_array_length(unless -> 'items') = 0 THEN
            problem := 'a condition needs at least one item';
            EXIT looking;
        ELSIF jsonb_array_length(unless -> 'items') > 64 THEN
            problem := 'at most 64 items are allowed';
            EXIT looking;
        END IF;
        FOR at_item IN 0 .. jsonb_array_length(unless -> 'items') - 1 LOOP
            field := format('unless.items[%s]', at_item);
            item := unless -> 'items' -> at_item;
            IF jsonb_typeof(item) <> 'object' THEN
                problem := 'must be a JSON object';
                EXIT looking;
            END IF;
            strange := (SELECT k FROM jsonb_object_keys(item - ARRAY['types', 'tags']) k LIMIT 1);
            IF strange IS NOT NULL THEN
                field := field || '.' || left(strange, 80);
                problem := 'is not known here; the members are types, tags';
                EXIT looking;
            END IF;
            FOREACH list IN ARRAY ARRAY['types', 'tags'] LOOP
                CONTINUE WHEN coalesce(jsonb_typeof(item -> list), 'null') = 'null';
                IF jsonb_typeof(item -> list) <> 'array'
                   OR EXISTS (SELECT FROM jsonb_array_elements(item -> list) e WHERE jsonb_typeof(e) <> 'string') THEN
                    field := field || '.' || list;
                    problem := 'must be a list of texts, like ["a","b"]';
                    EXIT looking;
                END IF;
                terms := terms + jsonb_array_length(item -> list);
                SELECT format('%s.%s[%s]', field, list, t.n - 1), t.problem INTO strange, problem
                  FROM (SELECT e.n, CASE list WHEN 'tags' THEN {schema}.tag_problem(e.term)
                                    ELSE {schema}.name_problem(e.term, 128) END
                          FROM jsonb_array_elements_text(item -> list) WITH ORDINALITY e(term, n)) t(n, problem)
                 WHERE t.problem IS NOT NULL ORDER BY t.n LIMIT 1;
                IF problem IS NOT NULL THEN
                    field := strange;
                    EXIT looking;
                END IF;
            END LOOP;
            IF coalesce(item -> 'types', 'null') IN ('null', '[]') AND coalesce(item -> 'tags', 'null') IN ('null', '[]') THEN
                problem := 'matches every event; name at least one type or tag';
                EXIT looking;
            ELSIF terms > 64 THEN
                problem := 'a condition has at most 64 types and tags, over all items';
                EXIT looking;
            END IF;
        END LOOP;
        field := 'unless.after';
        IF coalesce(jsonb_typeof(unless -> 'after'), 'null') NOT IN ('null', 'string') THEN
            problem := 'must be text, in quotation marks';
        ELSIF unless ->> 'after' IS NOT NULL THEN
            PERFORM {schema}.read_checkpoint(field, unless ->> 'after');
        END IF;
    END looking;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%: %', field, problem USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;

-- The first event after a position that matches any item of a condition; NULL where none does. Statements are planned anew
-- each time, because the planner then leaves out the chunks before the position.
CREATE OR REPLACE FUNCTION {schema}.first_match(home int, after_pos bigint, unless jsonb) RETURNS bigint LANGUAGE plpgsql
STABLE AS $$
DECLARE
    item record;
    found_pos bigint;
    looked_at bigint;
    first_pos bigint;
BEGIN
    FOR item IN
        SELECT ARRAY(SELECT jsonb_array_elements_text(nullif(i -> 'types', 'null'))) AS types,
               ARRAY(SELECT jsonb_array_elements_text(nullif(i -> 'tags', 'null'))) AS tags
          FROM jsonb_array_elements(unless -> 'items') i
    LOOP
        IF cardinality(item.tags) = 0 THEN
            EXECUTE 'SELECT min((SELECT e.position FROM {schema}.events e
                                  WHERE e.part = $1 AND e.type = t.type AND e.position > $2 ORDER BY e.position LIMIT 1))
                       FROM unnest($3) t(type)'
               INTO found_pos USING home, after_pos, item.types;
        ELSE
            -- Along the rarest tag, and at no more than 65,537 of its events: everybody waits meanwhile.
            EXECUTE 'SELECT min(m.position) FILTER (WHERE m.fits), count(*)
                       FROM (SELECT c.position,
                                    (SELECT e.tags @> $4 AND (cardinality($3) = 0 OR e.type = ANY ($3))
                                       FROM {schema}.events e WHERE e.part = $1 AND e.position = c.position) AS fits
                               FROM {schema}.event_tags c
                              WHERE c.part = $1 AND c.position > $2
                                AND c.tag = (SELECT t.tag FROM unnest($4) t(tag)
                                              ORDER BY (SELECT count(*) FROM (SELECT FROM {schema}.event_tags x
                                                                               WHERE x.part = $1 AND x.tag = t.tag
                                                                                 AND x.position > $2 LIMIT 1024) few)
                                              LIMIT 1)
                              ORDER BY c.position
                              LIMIT 65537) m'
               INTO found_pos, looked_at USING home, after_pos, item.types, item.tags;
            IF found_pos IS NULL AND looked_at > 65536 THEN
                RAISE EXCEPTION 'unless: has to look at more than 65536 events that match it in part; give a later `after`, or a tag that only the events in question have'
                    USING ERRCODE = 'invalid_parameter_value';
            END IF;
        END IF;
        first_pos := least(first_pos, found_pos);
    END LOOP;
    RETURN first_pos;
END $$;
