-- Writes down that a reader read. $1 text: its name. $2 text[]: the types. $3 text[]: the categories. $4 text[]: what it
-- understands. $5 timestamptz: when. $6 text: how far it has come. $7 text: what it waits for. $8 timestamptz: until when it
-- counts as one that follows the log; NULL leaves that as it was.
INSERT INTO schema_readers AS r (name, types, categories, understands, read_at, checkpoint, waits_for, live_until)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (name) DO UPDATE
   SET types = excluded.types, categories = excluded.categories, understands = excluded.understands, read_at = excluded.read_at,
       checkpoint = excluded.checkpoint, waits_for = excluded.waits_for, live_until = coalesce(excluded.live_until, r.live_until)
