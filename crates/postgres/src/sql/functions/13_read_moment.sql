-- Reads RFC 3339 text; NULL where it is none. PostgreSQL alone would take `tomorrow` too, and round what is finer than a
-- microsecond, where every other door cuts it off.
CREATE OR REPLACE FUNCTION {schema}.read_moment(moment text) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF moment !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]+)?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$'
    THEN
        RETURN NULL;
    END IF;
    RETURN (substr(moment, 1, 19)
            || left(coalesce(substring(moment FROM '[.][0-9]+'), ''), 7)
            || substring(moment FROM '([Zz]|[+-][0-9:]+)$'))::timestamptz;
EXCEPTION
    WHEN datetime_field_overflow OR invalid_datetime_format OR invalid_time_zone_displacement_value THEN
        RETURN NULL;
END $$;
