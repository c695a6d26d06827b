-- Runs the set-based statements, each over all events of the range. Placeholder: {batches}.
IF _pacioli_events > 0 THEN
    -- One event is known by its place; of several it is not told which one a statement failed on.
    _pacioli_at := CASE WHEN _pacioli_events = 1 THEN _pacioli_at END;
    {batches}
END IF;
