-- How many keys a document has, over all its objects.
CREATE OR REPLACE FUNCTION {schema}.json_keys(document jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT sum((SELECT count(*) FROM jsonb_object_keys(o)))
          FROM jsonb_path_query(document, 'strict $.** ? (@.type() == "object")') o);

-- What keeps a document, given as it is and as its text, from being accepted: `jsonb` holds more than the log takes. NULL
-- where nothing does. Most documents are too short to be wrong, and only the others are looked into.
CREATE OR REPLACE FUNCTION {schema}.json_problem(document jsonb, body text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN octet_length(body) < 130 THEN NULL
    WHEN octet_length(body) - octet_length(translate(body, '[{', '')) > 64
         AND jsonb_path_exists(document, 'strict $.**{64} ? (@.type() == "array" || @.type() == "object")')
        THEN 'arrays and objects nest deeper than 64'
    WHEN octet_length(body) > 50000 AND {schema}.json_keys(document) > 10000
        THEN 'the document has more than 10,000 keys'
END;
