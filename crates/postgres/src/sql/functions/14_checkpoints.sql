-- A checkpoint as text, from one position a partition. In PL/pgSQL, as what else has a query in it: a function in SQL would
-- be planned with every call.
CREATE OR REPLACE FUNCTION {schema}.checkpoint_text(positions bigint[], epoch bigint) RETURNS text LANGUAGE plpgsql IMMUTABLE
PARALLEL SAFE AS $$
BEGIN
    RETURN (SELECT string_agg((p.n - 1) || ':' || p.position, ',' ORDER BY p.n)
              FROM unnest(positions) WITH ORDINALITY p(position, n))
           || CASE epoch WHEN 1 THEN '' ELSE '@' || epoch END;
END $$;

-- Reads a checkpoint, as core does.
CREATE OR REPLACE FUNCTION {schema}.read_checkpoint(field text, given text, OUT positions bigint[], OUT epoch bigint)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    places text := split_part(given, '@', 1);
BEGIN
    IF octet_length(given) <= 32768 AND given ~ '^[0-9]{1,20}:[0-9]{1,20}(,[0-9]{1,20}:[0-9]{1,20})*(@[0-9]{1,20})?$' THEN
        SELECT CASE WHEN bool_and(p.partition = p.n - 1 AND p.position < 281474976710656) AND count(*) <= 1024
                    THEN array_agg(p.position::bigint ORDER BY p.n) END
          INTO positions
          FROM (SELECT split_part(place, ':', 1)::numeric, split_part(place, ':', 2)::numeric, n
                  FROM unnest(string_to_array(places, ',')) WITH ORDINALITY u(place, n)) p(partition, position, n);
        epoch := CASE WHEN strpos(given, '@') = 0 THEN 1
                      WHEN split_part(given, '@', 2)::numeric BETWEEN 1 AND 4294967295 THEN split_part(given, '@', 2)::bigint
                 END;
    END IF;
    IF positions IS NULL OR epoch IS NULL THEN
        RAISE EXCEPTION '%: `%` is not a checkpoint: expected `PARTITION:POSITION` for each partition from 0 on, like `0:1234` or `0:12,1:9`',
            field, left(given, 80) USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;

-- The position in one partition that a checkpoint stands for in the log as it is now. Refuses one that this log never had:
-- past the head, rewound, or of another store.
CREATE OR REPLACE FUNCTION {schema}.resolve_checkpoint(field text, given text, home int) RETURNS bigint LANGUAGE plpgsql
STABLE AS $$
DECLARE
    asked record := {schema}.read_checkpoint(field, given);
    current_epoch int := (SELECT max(e.epoch) FROM {schema}.epochs e);
    heads bigint[];
    lowest bigint[];
    problem text;
BEGIN
    heads := ARRAY(SELECT coalesce((SELECT c.last_pos FROM {schema}.commits c WHERE c.part = h.part
                                     ORDER BY c.first_pos DESC LIMIT 1), h.floor_pos)
                     FROM {schema}.heads h ORDER BY h.part);
    IF cardinality(asked.positions) <> cardinality(heads) THEN
        problem := format('`%s` speaks of %s partitions and this store has %s; is it from another store?',
                          given, cardinality(asked.positions), cardinality(heads));
    ELSIF asked.epoch > current_epoch THEN
        problem := format('`%s` is of an epoch this store never had; is it from another store?', given);
    ELSE
        -- What was read in an earlier epoch is good up to where each later one began.
        lowest := ARRAY(SELECT least(p.position, (SELECT min(e.heads[p.n]) FROM {schema}.epochs e WHERE e.epoch > asked.epoch))
                          FROM unnest(asked.positions) WITH ORDINALITY p(position, n) ORDER BY p.n);
        IF lowest <> asked.positions THEN
            problem := format('the log was rewound to %s: what was read after it is no longer in the log; go on from there',
                              {schema}.checkpoint_text(lowest, current_epoch));
        ELSIF EXISTS (SELECT FROM unnest(asked.positions, heads) p(position, head) WHERE p.position > p.head) THEN
            problem := format('`%s` lies past the head, %s; is it from another store?',
                              given, {schema}.checkpoint_text(heads, current_epoch));
        END IF;
    END IF;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%: %', field, problem USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN asked.positions[home + 1];
END $$;
