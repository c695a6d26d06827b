-- Notes which function leads to each version. $1 text[]: types. $2 int[]: versions. $3 text[]: functions; empty where nothing
-- is to be done, NULL where nothing leads there.
UPDATE schemas s SET lift = l.lift FROM unnest($1::text[], $2::int[], $3::text[]) l(type, version, lift)
 WHERE s.type = l.type AND s.version = l.version AND s.lift IS DISTINCT FROM l.lift
