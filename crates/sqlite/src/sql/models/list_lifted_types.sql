-- Lists the types of which events may be lifted, with NULL for one that no event has yet, over the log where it is attached. No
-- binds. Result: id.
SELECT types.id
FROM pacioli_log.pacioli_schemas AS schemas
LEFT JOIN pacioli_log.types AS types ON types.name = schemas.event_type
WHERE schemas.version > 1
GROUP BY schemas.event_type
