-- Leads to the upcasters of each type. Placeholders: {schema}, {quote}, {types}.
CREATE OR REPLACE FUNCTION {schema}.shape_lift(type text, version int, up_to int, document jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS {quote}
DECLARE
    lifted jsonb := document;
BEGIN
    -- Data that is no object has no fields.
    IF jsonb_typeof(document) <> 'object' OR version >= up_to THEN
        RETURN document;
    END IF;
    CASE type
{types}    ELSE
    END CASE;
    -- What would grow without end stays as it is.
    RETURN coalesce(lifted, document);
END {quote}
