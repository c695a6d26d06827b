-- Whether a text has a control character: Unicode has two ranges of them.
CREATE OR REPLACE FUNCTION {schema}.has_control(name text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN name ~ '[\u0001-\u001f\u007f-\u009f]';

-- What keeps a text from being a name of so many bytes, as the rest of a sentence; NULL where nothing does. The rule is
-- core's. Only immutable parts, so that it is planned into its callers and costs no call: `format` is none, nor is a number
-- beside `||`.
CREATE OR REPLACE FUNCTION {schema}.name_problem(name text, bytes_max int) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN name = '' THEN 'is empty'
    WHEN octet_length(name) > bytes_max THEN
        'has ' || octet_length(name)::text || ' bytes; at most ' || bytes_max::text || ' are allowed'
    WHEN name ~ '[\u0001-\u001f\u007f-\u009f]' THEN
        'has a control character at character ' || length(regexp_replace(name, '[\u0001-\u001f\u007f-\u009f].*$', ''))::text
END;
