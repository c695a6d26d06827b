-- Ends the range before the first event that is not understood; where nothing lies before it, that is told. Placeholders:
-- {schema}, {line}, {query}, {understands}, {always}.
EXECUTE {query} INTO _pacioli_withheld
    USING _pacioli_part, _pacioli_after, _pacioli_up_to, _pacioli_worker, _pacioli_workers, _pacioli_until, _pacioli_shapes, _pacioli_max;
IF _pacioli_withheld.position IS NOT NULL THEN
    IF _pacioli_withheld.n = 1 OR {always} THEN
        _pacioli_line := {line};
        _pacioli_at := _pacioli_withheld.position;
        RAISE EXCEPTION '%', {schema}.shape_withheld(_pacioli_part || ':' || _pacioli_at, _pacioli_withheld.type,
            _pacioli_withheld.schema_version, {understands}::jsonb ->> _pacioli_withheld.type);
    END IF;
    _pacioli_up_to := _pacioli_withheld.position - 1;
    _pacioli_position := _pacioli_up_to;
END IF;
