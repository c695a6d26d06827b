-- Reads the current epoch and the database it began on. No binds.
SELECT epoch, system_id, timeline FROM epochs ORDER BY epoch DESC LIMIT 1
