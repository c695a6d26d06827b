-- Where data lies within a document, one step further: a JSON pointer.
CREATE OR REPLACE FUNCTION {schema}.schema_place(place text, name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN place || '/' || replace(replace(name, '~', '~0'), '/', '~1');

-- Data as a message tells it: the verb and no more of it than fits.
CREATE OR REPLACE FUNCTION {schema}.schema_found(data jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    body text := data #>> '{}';
    n bigint;
BEGIN
    CASE jsonb_typeof(data)
    WHEN 'object' THEN
        n := (SELECT count(*) FROM jsonb_object_keys(data));
        RETURN format('is an object of %s field%s', n, CASE n WHEN 1 THEN '' ELSE 's' END);
    WHEN 'array' THEN
        n := jsonb_array_length(data);
        RETURN format('is a list of %s item%s', n, CASE n WHEN 1 THEN '' ELSE 's' END);
    WHEN 'string' THEN
        RETURN format('is the text `%s`', CASE WHEN length(body) > 60 THEN left(body, 60) || '…' ELSE body END);
    ELSE
        RETURN 'is ' || data::text;
    END CASE;
END $$;

-- What in data is not as the rules of a schema say: the validator of what JSON Schema most often says. `root` holds what `$ref`
-- leads to. `rule` is NULL where nothing is wrong. A version whose schema says more than is looked at here has no rules.
CREATE OR REPLACE FUNCTION {schema}.schema_problem(root jsonb, rules jsonb, data jsonb, place text DEFAULT '', depth int DEFAULT 0,
    OUT path text, OUT rule text, OUT problem text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    kind CONSTANT text := jsonb_typeof(data);
    inner_problem record;
    member record;
    wanted jsonb;
    number numeric;
    size bigint;
    body text;
    fitting int := 0;
BEGIN
    path := place;
    IF jsonb_typeof(rules) = 'boolean' THEN
        IF NOT rules::boolean THEN
            rule := 'false';
            problem := 'is not allowed by the schema';
        END IF;
        RETURN;
    ELSIF depth > 200 THEN
        RAISE EXCEPTION 'the data nests deeper than its schema can be followed here; append it through a server'
            USING ERRCODE = 'invalid_parameter_value', CONSTRAINT = 'schema-not-in-sql';
    END IF;
    <<looking>>
    BEGIN
        -- 1. What it is.
        wanted := rules -> 'type' -> 'is';
        IF NOT wanted @> to_jsonb(kind) THEN
            IF NOT (kind = 'number' AND wanted @> '"integer"' AND data::numeric = trunc(data::numeric)) THEN
                rule := 'type';
                problem := format(', and %s is wanted', rules -> 'type' ->> 'told');
                EXIT looking;
            END IF;
        END IF;
        IF rules ? 'enum' THEN
            IF NOT EXISTS (SELECT FROM jsonb_array_elements(rules -> 'enum' -> 'is') o WHERE o = data) THEN
                rule := 'enum';
                problem := format(', and only %s are allowed', rules -> 'enum' ->> 'told');
                EXIT looking;
            END IF;
        END IF;
        IF rules ? 'const' AND rules -> 'const' -> 'is' <> data THEN
            rule := 'const';
            problem := format(', and only %s is allowed', rules -> 'const' ->> 'told');
            EXIT looking;
        END IF;

        -- 2. What its kind may have.
        CASE kind
        WHEN 'number' THEN
            number := data::numeric;
            IF number < (rules -> 'minimum')::numeric THEN
                rule := 'minimum';
                problem := format(', and %s is the least', rules -> 'minimum');
            ELSIF number > (rules -> 'maximum')::numeric THEN
                rule := 'maximum';
                problem := format(', and %s is the most', rules -> 'maximum');
            ELSIF number <= (rules -> 'exclusiveMinimum')::numeric THEN
                rule := 'exclusiveMinimum';
                problem := format(', and more than %s is wanted', rules -> 'exclusiveMinimum');
            ELSIF number >= (rules -> 'exclusiveMaximum')::numeric THEN
                rule := 'exclusiveMaximum';
                problem := format(', and less than %s is wanted', rules -> 'exclusiveMaximum');
            ELSIF number % (rules -> 'multipleOf')::numeric <> 0 THEN
                rule := 'multipleOf';
                problem := format(', and a multiple of %s is wanted', rules -> 'multipleOf');
            END IF;
        WHEN 'string' THEN
            body := data #>> '{}';
            IF length(body) < (rules -> 'minLength')::numeric THEN
                rule := 'minLength';
                problem := format(', and %s characters are the least', rules -> 'minLength');
            ELSIF length(body) > (rules -> 'maxLength')::numeric THEN
                rule := 'maxLength';
                problem := format(', and %s characters are the most', rules -> 'maxLength');
            ELSIF rules ? 'pattern' AND body COLLATE "C" !~ (rules -> 'pattern' ->> 'is') THEN
                rule := 'pattern';
                problem := format(', which does not match `%s`', rules -> 'pattern' ->> 'told');
            END IF;
        WHEN 'array' THEN
            size := jsonb_array_length(data);
            IF size < (rules -> 'minItems')::numeric THEN
                rule := 'minItems';
                problem := format(', and %s items are the least', rules -> 'minItems');
            ELSIF size > (rules -> 'maxItems')::numeric THEN
                rule := 'maxItems';
                problem := format(', and %s items are the most', rules -> 'maxItems');
            ELSIF rules ? 'items' THEN
                FOR n IN 0 .. size - 1 LOOP
                    inner_problem := {schema}.schema_problem(root, rules -> 'items', data -> n::int, place || '/' || n, depth + 1);
                    IF inner_problem.rule IS NOT NULL THEN
                        path := inner_problem.path;
                        rule := inner_problem.rule;
                        problem := inner_problem.problem;
                        RETURN;
                    END IF;
                END LOOP;
            END IF;
        WHEN 'object' THEN
            IF rules ? 'required' THEN
                FOR n IN 0 .. jsonb_array_length(rules -> 'required') - 1 LOOP
                    IF data -> (rules -> 'required' ->> n) IS NULL THEN
                        path := {schema}.schema_place(place, rules -> 'required' ->> n);
                        rule := 'required';
                        problem := 'is missing, and the schema requires it';
                        RETURN;
                    END IF;
                END LOOP;
            END IF;
            IF rules ? 'minProperties' OR rules ? 'maxProperties' THEN
                size := (SELECT count(*) FROM jsonb_object_keys(data));
                IF size < (rules -> 'minProperties')::numeric THEN
                    rule := 'minProperties';
                    problem := format(', and %s fields are the least', rules -> 'minProperties');
                    EXIT looking;
                ELSIF size > (rules -> 'maxProperties')::numeric THEN
                    rule := 'maxProperties';
                    problem := format(', and %s fields are the most', rules -> 'maxProperties');
                    EXIT looking;
                END IF;
            END IF;
            IF rules ? 'properties' OR rules ? 'additionalProperties' THEN
                FOR member IN SELECT m.key, m.value FROM jsonb_each(data) m LOOP
                    wanted := rules -> 'properties' -> member.key;
                    IF wanted IS NULL THEN
                        wanted := rules -> 'additionalProperties';
                        IF wanted = 'false' THEN
                            path := {schema}.schema_place(place, member.key);
                            rule := 'additionalProperties';
                            problem := 'is no field of the schema, which allows no others';
                            RETURN;
                        END IF;
                    END IF;
                    CONTINUE WHEN wanted IS NULL;
                    inner_problem := {schema}.schema_problem(root, wanted, member.value, {schema}.schema_place(place, member.key), depth + 1);
                    IF inner_problem.rule IS NOT NULL THEN
                        path := inner_problem.path;
                        rule := inner_problem.rule;
                        problem := inner_problem.problem;
                        RETURN;
                    END IF;
                END LOOP;
            END IF;
        ELSE
        END CASE;
        EXIT looking WHEN rule IS NOT NULL;

        -- 3. What other schemas say of it.
        IF rules ? '$ref' THEN
            wanted := root #> ARRAY(SELECT jsonb_array_elements_text(rules -> '$ref'));
            IF wanted IS NULL THEN
                RAISE EXCEPTION 'the schema refers to what is not there: %', rules -> '$ref'
                    USING ERRCODE = 'invalid_parameter_value', CONSTRAINT = 'schema-not-in-sql';
            END IF;
            inner_problem := {schema}.schema_problem(root, wanted, data, place, depth + 1);
            IF inner_problem.rule IS NOT NULL THEN
                path := inner_problem.path;
                rule := inner_problem.rule;
                problem := inner_problem.problem;
                RETURN;
            END IF;
        END IF;
        IF rules ? 'allOf' THEN
            FOR n IN 0 .. jsonb_array_length(rules -> 'allOf') - 1 LOOP
                inner_problem := {schema}.schema_problem(root, rules -> 'allOf' -> n, data, place, depth + 1);
                IF inner_problem.rule IS NOT NULL THEN
                    path := inner_problem.path;
                    rule := inner_problem.rule;
                    problem := inner_problem.problem;
                    RETURN;
                END IF;
            END LOOP;
        END IF;
        IF rules ? 'anyOf' THEN
            FOR n IN 0 .. jsonb_array_length(rules -> 'anyOf') - 1 LOOP
                inner_problem := {schema}.schema_problem(root, rules -> 'anyOf' -> n, data, place, depth + 1);
                fitting := fitting + (inner_problem.rule IS NULL)::int;
                EXIT WHEN fitting > 0;
            END LOOP;
            IF fitting = 0 THEN
                rule := 'anyOf';
                problem := format(' that none of the schema''s %s alternatives describes', jsonb_array_length(rules -> 'anyOf'));
                EXIT looking;
            END IF;
        END IF;
        IF rules ? 'oneOf' THEN
            fitting := 0;
            FOR n IN 0 .. jsonb_array_length(rules -> 'oneOf') - 1 LOOP
                inner_problem := {schema}.schema_problem(root, rules -> 'oneOf' -> n, data, place, depth + 1);
                fitting := fitting + (inner_problem.rule IS NULL)::int;
            END LOOP;
            IF fitting <> 1 THEN
                rule := 'oneOf';
                problem := CASE fitting
                    WHEN 0 THEN format(' that none of the schema''s %s alternatives describes', jsonb_array_length(rules -> 'oneOf'))
                    ELSE ' that more than one of the schema''s alternatives describes, and one only may' END;
                EXIT looking;
            END IF;
        END IF;
        IF rules ? 'not' THEN
            inner_problem := {schema}.schema_problem(root, rules -> 'not', data, place, depth + 1);
            IF inner_problem.rule IS NULL THEN
                rule := 'not';
                problem := ', and what the schema excludes';
            END IF;
        END IF;
    END looking;
    IF rule IS NOT NULL THEN
        problem := {schema}.schema_found(data) || problem;
    END IF;
END $$;

-- Holds events against the registry, as every door does: gives the version that each is stored under, and what is wrong with the
-- first that may not be. `constraint_name` says which kind of problem that is.
CREATE OR REPLACE FUNCTION {schema}.judge_events(stream text, types text[], versions int[], data text[],
    OUT generation bigint, OUT schema_versions int[], OUT problem text, OUT constraint_name text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    category CONSTANT text COLLATE "C" := split_part(stream, '-', 1);
    mode text;
    is_of_category boolean;
    wanted int;
    has_schemas boolean;
    found_schema {schema}.schemas;
    broken record;
    field text;
    its_path text;
    accepted_by int;
BEGIN
    generation := (SELECT r.generation FROM {schema}.registry r);
    schema_versions := versions;
    -- What the system records about itself passes.
    IF generation = 0 OR left(category, 1) = '$' THEN
        RETURN;
    END IF;
    SELECT lower(s.value), s.scope = 'category' INTO mode, is_of_category
      FROM {schema}.schema_settings s
     WHERE s.setting = 'mode' AND (s.scope = 'category' AND s.name = category OR s.scope = 'global')
       AND lower(s.value) IN ('off', 'warn', 'enforce')
     ORDER BY s.scope LIMIT 1;
    FOR n IN 1 .. cardinality(types) LOOP
        problem := NULL;
        field := 'data';
        its_path := '';
        accepted_by := NULL;
        found_schema := NULL;
        has_schemas := EXISTS (SELECT FROM {schema}.schemas s WHERE s.type = types[n]);
        IF NOT has_schemas THEN
            CONTINUE WHEN mode IS NULL OR mode = 'off';
            wanted := coalesce(versions[n], 1);
            field := 'schema_version';
            problem := format('the data is of a type without a schema, and the category `%s` is to hold only types that have one (rule `registered`)', category);
        ELSE
            wanted := coalesce(versions[n],
                (SELECT s.version FROM {schema}.schemas s WHERE s.type = types[n] AND NOT s.is_deleted ORDER BY s.version DESC LIMIT 1), 1);
            schema_versions[n] := wanted;
            CONTINUE WHEN mode = 'off';
            SELECT s.* INTO found_schema FROM {schema}.schemas s WHERE s.type = types[n] AND s.version = wanted;
            IF NOT FOUND OR found_schema.is_deleted THEN
                field := 'schema_version';
                problem := format('the data is of a version that is %s (rule `registered`)',
                                  CASE WHEN found_schema.is_deleted THEN 'deleted' ELSE 'not registered' END);
            ELSIF found_schema.sql_door IS NOT NULL THEN
                CONTINUE WHEN mode = 'warn';
                constraint_name := 'schema-not-in-sql';
                problem := format('events[%s].data: events of %s version %s cannot be appended by SQL: %s; append them through a server (gRPC, HTTP, `pacioli append`)',
                                  n, types[n], wanted, found_schema.sql_door);
                RETURN;
            ELSE
                broken := {schema}.schema_problem(found_schema.rules, found_schema.rules, data[n]::jsonb);
                CONTINUE WHEN broken.rule IS NULL;
                its_path := CASE WHEN length(broken.path) > 200 THEN left(broken.path, 200) || '…' ELSE broken.path END;
                problem := format('%s %s (rule `%s`)', coalesce(nullif(its_path, ''), 'the data'), broken.problem, broken.rule);
            END IF;
        END IF;
        problem := format('events[%s].%s: %s version %s%s refuses it: %s', n, field, types[n], wanted,
                          CASE WHEN found_schema.type IS NULL THEN ''
                               ELSE format(' (%s.%s.%s)', found_schema.major, found_schema.minor, found_schema.patch) END, problem);
        IF coalesce(mode, 'enforce') = 'warn' OR NOT has_schemas AND NOT is_of_category THEN
            RAISE WARNING '%', problem;
            problem := NULL;
            CONTINUE;
        END IF;
        -- The nearest that accepts it; of two that are as near, the newer.
        accepted_by := (
            SELECT s.version
              FROM (SELECT s.version, s.rules FROM {schema}.schemas s
                     WHERE s.type = types[n] AND s.version <> wanted AND NOT s.is_deleted AND s.rules IS NOT NULL
                     ORDER BY abs(s.version - wanted), s.version DESC LIMIT 16) s
             WHERE ({schema}.schema_problem(s.rules, s.rules, data[n]::jsonb)).rule IS NULL
             ORDER BY abs(s.version - wanted), s.version DESC LIMIT 1);
        problem := problem || CASE WHEN accepted_by IS NULL THEN '; mend the event, or register a version that allows it'
            ELSE format('; version %s would accept it: say `schema_version` %s, or mend the event', accepted_by, accepted_by) END;
        constraint_name := 'schema-violated';
        RETURN;
    END LOOP;
END $$;
