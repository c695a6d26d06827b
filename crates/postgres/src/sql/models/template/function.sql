-- Makes the function that applies a range of positions to the tables of a build. Placeholders: {build}, {quote}, {body}.
-- It runs as the owner of the tables, whoever calls it, and gives the same rows in any session.
CREATE FUNCTION {build}.apply(_pacioli_part int, _pacioli_after bigint, _pacioli_up_to bigint, _pacioli_max int,
    _pacioli_worker int, _pacioli_workers int, _pacioli_until timestamptz, OUT _pacioli_position bigint, OUT _pacioli_events bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = {build}, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET intervalstyle = 'postgres'
SET extra_float_digits = 1 SET bytea_output = 'hex' SET standard_conforming_strings = on SET xmloption = content
-- What is looked up is looked up by an index, whatever the statistics said when a plan was made.
SET plan_cache_mode = auto SET enable_seqscan = off SET enable_bitmapscan = on SET enable_indexscan = on
SET jit = off SET row_security = on
AS {quote}
{body}
{quote}
