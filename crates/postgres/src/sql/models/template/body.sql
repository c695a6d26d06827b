-- The body of the function. Placeholders: {event}, {steps}, {file}, {name}, {refused}.
#variable_conflict use_column
DECLARE
    {event} record;
    _pacioli_line int := 0;
    _pacioli_at bigint;
    _pacioli_shapes jsonb;
    _pacioli_withheld record;
    _pacioli_said text;
    _pacioli_hint text;
BEGIN
_pacioli_events := 0;
_pacioli_position := _pacioli_up_to;
{steps}
EXCEPTION WHEN OTHERS THEN
    -- One subtransaction for all of the range. What passes by itself is told as it is: a deadlock, a full disk, a shutdown.
    IF left(SQLSTATE, 2) IN ('08', '25', '40', '53', '55', '57', '58', 'F0') OR _pacioli_line = 0 THEN
        RAISE;
    END IF;
    GET STACKED DIAGNOSTICS _pacioli_said = MESSAGE_TEXT, _pacioli_hint = PG_EXCEPTION_HINT;
    RAISE EXCEPTION USING
        MESSAGE = format('%s:%s: %s', {file}, _pacioli_line, _pacioli_said),
        DETAIL = format('projection %s, event at %s:%s, SQLSTATE %s', {name}, _pacioli_part, coalesce(_pacioli_at::text, '?'), SQLSTATE),
        HINT = _pacioli_hint,
        ERRCODE = 'raise_exception',
        CONSTRAINT = '{refused}',
        TABLE = {name},
        COLUMN = coalesce(_pacioli_part || ':' || _pacioli_at, '');
END
