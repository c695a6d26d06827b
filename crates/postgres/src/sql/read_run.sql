-- Reads whose a run of events is. $1 int: the partition. $2 bigint: the first position, $3 bigint: the last.
SELECT e.stream, e.version FROM events e WHERE e.part = $1 AND e.position BETWEEN $2 AND $3 ORDER BY e.position
