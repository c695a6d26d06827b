-- Makes the chunks that are missing up to `ahead` beyond the one that holds `at_pos`; returns the numbers of those it made.
-- CREATE and then ATTACH: PARTITION OF would lock out readers and appends. Whoever may append may call it, so it goes no
-- further than appends can: one batch, or four chunks, beyond the highest head.
CREATE OR REPLACE FUNCTION {schema}.make_chunks(at_pos bigint, ahead int) RETURNS SETOF int LANGUAGE plpgsql
SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    size bigint := (SELECT s.chunk_events FROM store s);
    wanted int;
    made text;
    extra record;
BEGIN
    ahead := least(ahead, 16);
    at_pos := least(at_pos, greatest(4 * size, 65536) +
        (SELECT max(coalesce((SELECT c.last_pos FROM commits c WHERE c.part = h.part ORDER BY c.first_pos DESC LIMIT 1),
                             h.floor_pos)) FROM heads h));
    FOR wanted IN
        SELECT c FROM generate_series(0, (at_pos / size)::int + ahead) c
         WHERE c >= coalesce((SELECT min(chunk) FROM chunks), 0) AND NOT EXISTS (SELECT FROM chunks WHERE chunk = c) ORDER BY c
    LOOP
        -- One maker at a time; who waited looks again.
        PERFORM pg_advisory_xact_lock(hashtextextended('{schema} chunks', 0));
        CONTINUE WHEN EXISTS (SELECT FROM chunks WHERE chunk = wanted);
        made := 'events_c' || lpad(wanted::text, 6, '0');
        EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE,
                            CONSTRAINT in_chunk CHECK (position >= %s AND position < %s))
                        WITH (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 200000,
                              autovacuum_freeze_min_age = 0, toast_tuple_target = 4080)',
                       made, wanted * size, (wanted + 1) * size);
        EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (part, position)', made);
        EXECUTE format('CREATE UNIQUE INDEX ON %I (part, stream, version)', made);
        EXECUTE format('CREATE INDEX ON %I (part, type, position)', made);
        EXECUTE format('CREATE INDEX ON %I USING brin (recorded_at) WITH (pages_per_range = 32)', made);
        FOR extra IN SELECT name, definition FROM indexes ORDER BY name LOOP
            EXECUTE format('CREATE INDEX %I ON %I %s', made || '_' || extra.name, made, extra.definition);
        END LOOP;
        PERFORM guard(format('%I', made)::regclass);
        EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                       made, wanted * size, (wanted + 1) * size);
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT in_chunk', made);

        made := 'event_tags_c' || lpad(wanted::text, 6, '0');
        EXECUTE format('CREATE TABLE %I (LIKE event_tags INCLUDING DEFAULTS,
                            CONSTRAINT in_chunk CHECK (position >= %s AND position < %s))',
                       made, wanted * size, (wanted + 1) * size);
        EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (part, tag, position)', made);
        PERFORM guard(format('%I', made)::regclass);
        EXECUTE format('ALTER TABLE event_tags ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                       made, wanted * size, (wanted + 1) * size);
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT in_chunk', made);

        INSERT INTO chunks (chunk) VALUES (wanted);
        RETURN NEXT wanted;
    END LOOP;
END $$;
