-- Reads how many types there are, over the log where it is attached. No binds. Result: the highest id.
SELECT ifnull(max(id), 0) FROM pacioli_log.types
