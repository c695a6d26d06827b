-- Remembers the ids of events. $1 int: the partition. $2 timestamptz: when they were recorded. $3 uuid[], $4 bigint[].
INSERT INTO event_ids (part, at, id, position) SELECT $1::int, $2::timestamptz, e.* FROM unnest($3::uuid[], $4::bigint[]) e
