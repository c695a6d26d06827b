-- One upcaster: NULL where the data would grow over a bound. Placeholders: {schema}, {quote}, {name}, {declared}, {steps}.
CREATE FUNCTION {schema}.{name}(document jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS {quote}
DECLARE
    d0 jsonb := document;
    value jsonb;
    made jsonb;
    parts text[];
    grown bigint := 0;
{declared}BEGIN
{steps}    RETURN d0;
END {quote}
