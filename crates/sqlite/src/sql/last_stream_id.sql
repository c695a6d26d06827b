-- Reads the id of the newest stream. No binds. Result: id, or 0.
SELECT ifnull(max(id), 0) FROM streams
