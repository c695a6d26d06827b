-- Applies events to a build and moves the progress of one worker, in the caller's transaction. Nothing comes back where the
-- worker does not stand at `after`, the build does not run, or another epoch of the log began. Placeholders: {catalogue}, {heads}.
CREATE OR REPLACE FUNCTION {catalogue}.advance(its_name text, its_number int, its_worker int, its_part int, after bigint,
    up_to bigint, events_max int, OUT new_position bigint, OUT applied bigint)
LANGUAGE plpgsql VOLATILE SET search_path = {catalogue}, pg_temp AS $$
DECLARE
    stands bigint;
    build builds;
BEGIN
    -- Who waited for this lock reads below what the holder left.
    SELECT p.position INTO stands FROM progress p
     WHERE p.name = its_name AND p.number = its_number AND p.worker = its_worker AND p.part = its_part
       FOR NO KEY UPDATE;
    SELECT b.* INTO build FROM builds b WHERE b.name = its_name AND b.number = its_number;
    IF stands IS DISTINCT FROM after OR build.role IS NULL OR build.role = 'kept' OR build.state <> 'running' OR build.in_appends
       OR build.epoch IS DISTINCT FROM (SELECT h.epoch FROM {heads} h WHERE h.part = its_part) THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT * FROM %I.apply($1, $2, $3, $4, $5, $6, NULL)', build.schema_name)
       INTO new_position, applied
      USING its_part, after, up_to, events_max, its_worker, build.workers;
    UPDATE progress p SET position = new_position, events = p.events + applied
     WHERE p.name = its_name AND p.number = its_number AND p.worker = its_worker AND p.part = its_part;
END $$
