-- What keeps a text from being a tag; NULL where nothing does. A space is whatever Unicode calls white space.
CREATE OR REPLACE FUNCTION {schema}.tag_problem(tag text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(
    {schema}.name_problem(tag, 128),
    CASE WHEN tag ~ '[,\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]'
         THEN 'contains a comma or a space' END);
