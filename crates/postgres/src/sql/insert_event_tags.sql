-- Notes the tags of events. $1 int: the partition. $2 text[]: a tag each. $3 bigint[]: the position of its event.
INSERT INTO event_tags (part, tag, position) SELECT $1::int, t.* FROM unnest($2::text[], $3::bigint[]) t
