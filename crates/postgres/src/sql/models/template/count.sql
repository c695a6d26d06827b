-- Finds where the range ends, where nothing looks at single events. Placeholder: {query}.
EXECUTE {query} INTO _pacioli_events, _pacioli_at
    USING _pacioli_part, _pacioli_after, _pacioli_up_to, _pacioli_worker, _pacioli_workers, _pacioli_until, _pacioli_shapes, _pacioli_max;
IF _pacioli_events >= _pacioli_max THEN
    _pacioli_position := _pacioli_at;
END IF;
