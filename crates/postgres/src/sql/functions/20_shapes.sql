-- What lifts data of older schema versions to newer ones. The functions whose names begin with `shape_step_` are made of the
-- registered upcasters, with each change of the registry, and so are the last ones here: these are what they are while
-- nothing is registered. All are pure, and whoever may read events may call them.

-- What is at a pointer, as upcasters follow them: in a list to the item of that number, without sign and leading zeros.
CREATE OR REPLACE FUNCTION {schema}.shape_find(document jsonb, path text[]) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    segment text;
    found jsonb := document;
BEGIN
    FOREACH segment IN ARRAY path LOOP
        found := CASE jsonb_typeof(found)
            WHEN 'object' THEN found -> segment
            WHEN 'array' THEN CASE WHEN segment ~ '^(0|[1-9][0-9]{0,8})$' THEN found -> segment::int END
        END;
        EXIT WHEN found IS NULL;
    END LOOP;
    RETURN found;
END $$;

-- A document with a value at a pointer; NULL where it cannot be set. Objects on the way are made, items of lists are not.
CREATE OR REPLACE FUNCTION {schema}.shape_set(document jsonb, path text[], value jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    depth CONSTANT int := cardinality(path);
    place jsonb := document;
    made jsonb := value;
BEGIN
    IF depth = 0 THEN
        RETURN value;
    END IF;
    FOR n IN 1 .. depth LOOP
        IF jsonb_typeof(place) = 'object' THEN
            IF place -> path[n] IS NULL THEN
                FOR m IN REVERSE depth .. n + 1 LOOP
                    made := jsonb_build_object(path[m], made);
                END LOOP;
                RETURN jsonb_set(document, path[:n], made, true);
            END IF;
            place := place -> path[n];
        ELSIF jsonb_typeof(place) = 'array' AND path[n] ~ '^(0|[1-9][0-9]{0,8})$' THEN
            place := place -> path[n]::int;
            IF place IS NULL THEN
                RETURN NULL;
            END IF;
        ELSE
            RETURN NULL;
        END IF;
    END LOOP;
    RETURN jsonb_set(document, path, value, false);
END $$;

-- A value as one of another type; NULL where it cannot be that.
CREATE OR REPLACE FUNCTION {schema}.shape_cast(value jsonb, wanted text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    kind CONSTANT text := jsonb_typeof(value);
    body CONSTANT text := value #>> '{}';
BEGIN
    IF kind = 'number' AND length(body) > 512 AND wanted <> 'boolean' THEN
        RETURN CASE WHEN wanted = 'number' THEN value END;
    ELSIF wanted = 'string' AND kind IN ('number', 'boolean') THEN
        RETURN to_jsonb(body);
    ELSIF wanted = 'integer' AND kind = 'number' THEN
        RETURN CASE WHEN body::numeric = trunc(body::numeric) THEN to_jsonb(trunc(body::numeric)) END;
    ELSIF wanted = 'integer' AND kind = 'string' THEN
        IF body ~ '^-?[0-9]+$' AND length(ltrim(body, '-')) <= 512 THEN
            RETURN to_jsonb(body::numeric);
        END IF;
    ELSIF wanted = 'number' AND kind = 'string' THEN
        IF length(body) <= 512 AND body ~ '^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$' THEN
            RETURN to_jsonb(body::numeric);
        END IF;
    ELSIF wanted = 'boolean' AND kind = 'string' THEN
        RETURN CASE body WHEN 'true' THEN 'true'::jsonb WHEN 'false' THEN 'false'::jsonb END;
    ELSIF wanted = 'boolean' AND kind = 'number' THEN
        RETURN CASE body::numeric WHEN 1 THEN 'true'::jsonb WHEN 0 THEN 'false'::jsonb END;
    END IF;
    RETURN NULL;
END $$;

-- Cuts a text at the first separators into as many parts as are wanted at most; the last has the rest.
CREATE OR REPLACE FUNCTION {schema}.shape_split(body text, separator text, most int) RETURNS text[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    parts text[] := '{}';
    rest text := body;
    place int;
BEGIN
    WHILE cardinality(parts) < most - 1 LOOP
        place := strpos(rest, separator);
        EXIT WHEN place = 0;
        parts := parts || left(rest, place - 1);
        rest := substr(rest, place + length(separator));
    END LOOP;
    RETURN parts || rest;
END $$;

-- Which versions of some types a reader understands, and the newest within that which each is lifted to: for each type an
-- object by stored version; for a type without schemas, `least` and `most`, where a version counts as that major. Each type's
-- range is from `lowest` on and below `below`, three numbers each; NULL where nothing is too high.
CREATE OR REPLACE FUNCTION {schema}.shapes_within(types text[], lowest bigint[], below bigint[]) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    within jsonb := '{}';
    least_wanted bigint[];
    too_high bigint[];
    reached jsonb;
    pending text[];
    newest int;
    one record;
BEGIN
    FOR n IN 1 .. cardinality(types) LOOP
        least_wanted := lowest[3 * n - 2 : 3 * n];
        too_high := below[3 * n - 2 : 3 * n];
        reached := '{}';
        newest := NULL;
        -- From the newest version down: what leads to one that is understood is, up to a hole.
        FOR one IN
            SELECT s.version, s.lift,
                   ARRAY[s.major, s.minor, s.patch] >= least_wanted
                   AND (too_high[1] IS NULL OR ARRAY[s.major, s.minor, s.patch] < too_high) AS is_understood
              FROM {schema}.schemas s WHERE s.type = types[n] ORDER BY s.version DESC
        LOOP
            IF one.is_understood THEN
                newest := coalesce(newest, one.version);
            END IF;
            IF newest IS NOT NULL THEN
                reached := reached || jsonb_build_object(one.version::text, newest);
            END IF;
            IF one.lift IS NULL THEN
                newest := NULL;
            END IF;
        END LOOP;
        IF NOT FOUND THEN
            reached := jsonb_build_object(
                'least', least_wanted[1] + CASE WHEN least_wanted[2] > 0 OR least_wanted[3] > 0 THEN 1 ELSE 0 END,
                'most', too_high[1] - CASE WHEN too_high[2] > 0 OR too_high[3] > 0 THEN 0 ELSE 1 END);
        END IF;
        within := within || jsonb_build_object(types[n], reached);
    END LOOP;
    RETURN within;
END $$;

-- The version that an event is lifted to within what a reader understands; NULL where it understands none.
CREATE OR REPLACE FUNCTION {schema}.shape_reached(within jsonb, type text, version int) RETURNS int LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    reached CONSTANT jsonb := within -> type;
BEGIN
    RETURN CASE
        WHEN reached ? 'least' THEN
            CASE WHEN version >= (reached ->> 'least')::bigint AND version <= coalesce((reached ->> 'most')::bigint, version) THEN version END
        ELSE (reached ->> version::text)::int
    END;
END $$;

-- What an event is that a reader does not understand, as the end of a sentence: core's `Withheld`.
CREATE OR REPLACE FUNCTION {schema}.shape_withheld(place text, its_type text, its_version int, understands text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN format('the event at %s is %s %s, and this reader understands %s; teach the reader that version and let it say so (of one that is older than that: register the version behind it again with the upcaster that it lacks), or let it skip what it does not understand',
        place, its_type,
        coalesce((SELECT format('%s.%s.%s (schema version %s)', s.major, s.minor, s.patch, s.version)
                    FROM {schema}.schemas s WHERE s.type = its_type AND s.version = its_version),
                 format('of schema version %s, which is not registered', its_version)),
        understands);
END $$;

-- Lifts data from the version that it is stored under to a newer one that is reached from there.
CREATE OR REPLACE FUNCTION {schema}.shape_lift(type text, version int, up_to int, document jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN document;
END $$;

-- The version of the shape that an event is shown in. Planned into its callers, and so is what follows.
CREATE OR REPLACE FUNCTION {schema}.shape_version(type text, version int) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN version;

-- The data of an event in the newest shape that is registered.
CREATE OR REPLACE FUNCTION {schema}.shape_of(type text, version int, data json) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN data::jsonb;

-- The same, with the bytes it is stored with where nothing is lifted.
CREATE OR REPLACE FUNCTION {schema}.shape_json(type text, version int, data json) RETURNS json LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN data;
