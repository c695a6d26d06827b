-- Counts events that are passed over, by type. $1 part, $2 after, $3 up to, $4 worker, $5 workers, $6 until, $7 what is
-- understood. Placeholders: {catalogue}, {build}, {log}, {condition}.
INSERT INTO {catalogue}.passed_over AS p (schema_name, worker, part, type, events)
SELECT {build}, $4, $1, e.type, count(*) FROM {log} e WHERE {condition} GROUP BY e.type
    ON CONFLICT (schema_name, worker, part, type) DO UPDATE SET events = p.events + excluded.events
