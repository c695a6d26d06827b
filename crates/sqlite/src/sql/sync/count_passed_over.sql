-- Counts events of a type that an attached build passes over; {schema} is its schema. Binds: ?1 type, ?2 how many.
INSERT INTO {schema}.pacioli_passed_over (type, events) VALUES (?1, ?2)
ON CONFLICT (type) DO UPDATE SET events = events + excluded.events
