-- Runs the handlers of single events. Placeholders: {event}, {query}, {handled}.
FOR {event} IN EXECUTE {query}
    USING _pacioli_part, _pacioli_after, _pacioli_up_to, _pacioli_worker, _pacioli_workers, _pacioli_until, _pacioli_shapes, _pacioli_max
LOOP
_pacioli_events := _pacioli_events + 1;
_pacioli_at := {event}.position;
{handled}
_pacioli_line := 0;
END LOOP;
IF _pacioli_events >= _pacioli_max THEN
    _pacioli_position := _pacioli_at;
END IF;
