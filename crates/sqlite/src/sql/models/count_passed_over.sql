-- Counts events of a type that a build passes over. Binds: ?1 type, ?2 how many.
INSERT INTO pacioli_passed_over (type, events) VALUES (?1, ?2)
ON CONFLICT (type) DO UPDATE SET events = events + excluded.events
