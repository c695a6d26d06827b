-- Moves an attached build on from where it stands; {schema} is its schema. Binds: ?1 partition, ?2 from, ?3 to, ?4 events.
UPDATE {schema}.pacioli_progress SET position = ?3, events = events + ?4
WHERE worker = 0 AND partition = ?1 AND position = ?2
