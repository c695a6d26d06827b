-- One upcaster: NULL where the data would grow over a bound. Placeholders: {schema}, {name}, {declared}, {steps}.
CREATE FUNCTION {schema}.{name}(document jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $shape$
DECLARE
    d0 jsonb := document;
    value jsonb;
    made jsonb;
    parts text[];
    grown bigint := 0;
{declared}BEGIN
{steps}    RETURN d0;
END $shape$
