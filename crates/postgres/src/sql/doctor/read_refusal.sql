-- Reads the text of the function that the guards call. $1 oid: the schema.
SELECT prosrc FROM pg_proc WHERE pronamespace = $1 AND proname = 'refuse_change'
