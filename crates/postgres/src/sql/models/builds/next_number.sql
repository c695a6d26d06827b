-- Takes the next number of a projection's builds. $1 text: its name. Placeholder: {catalogue}.
INSERT INTO {catalogue}.projections AS p (name, last_number) VALUES ($1, 1)
    ON CONFLICT (name) DO UPDATE SET last_number = p.last_number + 1
RETURNING last_number
