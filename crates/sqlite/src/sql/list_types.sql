-- Lists the event types. No binds. Result: id, name, in the order of ids, which run from 1 without a gap.
SELECT id, name FROM types ORDER BY id
