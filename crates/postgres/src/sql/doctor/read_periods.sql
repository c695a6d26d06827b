-- Reads for how many seconds there is a period of ids and keys, and for how many they are remembered. No binds.
SELECT extract(epoch FROM (SELECT max(ends_at) FROM periods) - clock_timestamp())::float8, extract(epoch FROM remember)::float8 FROM store
