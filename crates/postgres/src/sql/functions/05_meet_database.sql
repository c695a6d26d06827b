-- Begins a new epoch where the log was last written on another database or timeline: after a failover or a restore its
-- tail may have been lost. Holds the lock of every head while it looks. Returns the epoch that is current then.
-- A caller that comes from another database names the newest epoch it has seen there, `known_epoch`, and gets one above
-- it: an old copy may have forgotten some. A number is never given twice: two copies that went on apart from each other
-- are on timelines of their own, so a number lies at the timeline at least.
CREATE OR REPLACE FUNCTION {schema}.meet_database(known_epoch int DEFAULT 0) RETURNS int LANGUAGE plpgsql
SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    here_system bigint := (SELECT system_identifier FROM pg_control_system());
    -- The timeline that is written now; the control file learns of it only with the first checkpoint after a promotion.
    here_timeline int := ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int;
    known epochs;
BEGIN
    SELECT * INTO known FROM epochs ORDER BY epoch DESC LIMIT 1;
    IF known.system_id = here_system AND known.timeline = here_timeline
       AND (known_epoch = 0 OR known.epoch > known_epoch) THEN
        RETURN known.epoch;
    END IF;
    PERFORM FROM heads ORDER BY part FOR UPDATE;
    -- A new statement and so a new look: another server may have been first.
    SELECT * INTO known FROM epochs ORDER BY epoch DESC LIMIT 1;
    IF known.system_id = here_system AND known.timeline = here_timeline
       AND (known_epoch = 0 OR known.epoch > known_epoch) THEN
        RETURN known.epoch;
    END IF;
    INSERT INTO epochs (epoch, heads, system_id, timeline)
    -- The first is 1 on any timeline: a checkpoint of it names no epoch.
    SELECT CASE WHEN known.epoch IS NULL THEN 1 ELSE greatest(known.epoch + 1, known_epoch + 1, here_timeline) END,
           array_agg(coalesce((SELECT c.last_pos FROM commits c WHERE c.part = h.part ORDER BY c.first_pos DESC LIMIT 1),
                              h.floor_pos) ORDER BY h.part),
           here_system, here_timeline
      FROM heads h
    RETURNING * INTO known;
    UPDATE heads h SET epoch = known.epoch WHERE h.epoch <> known.epoch;
    RETURN known.epoch;
END $$;
