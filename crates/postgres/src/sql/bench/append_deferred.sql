-- Appends an event when this transaction commits. $1 text: the stream. $2 text: the event, as JSON.
SELECT append_deferred($1, 'any', ARRAY[$2::text::jsonb])
