-- The partition a stream lives in: the first 8 bytes of SHA-256 of the part of its name behind the first `-`, modulo the
-- number of partitions. The same rule as in every engine.
CREATE OR REPLACE FUNCTION {schema}.partition_of(stream text, partitions int) RETURNS int LANGUAGE sql IMMUTABLE STRICT
PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    -- The 8 bytes are unsigned and bigint is not: halve, take the rest, double, add the bit that fell off.
    SELECT CASE WHEN partitions = 1 THEN 0 ELSE
        (((h >> 1) & 9223372036854775807) % partitions * 2 + (h & 1))::bigint % partitions END::int
      FROM (SELECT ('x' || encode(substr(sha256(convert_to(
                CASE strpos(stream, '-') WHEN 0 THEN '' ELSE substr(stream, strpos(stream, '-') + 1) END, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint) k(h)
$$;
