-- Takes the next number for a build. Binds: ?1 name. Result: the number.
INSERT INTO numbers (name, last) VALUES (?1, 1)
ON CONFLICT (name) DO UPDATE SET last = numbers.last + 1
RETURNING last
