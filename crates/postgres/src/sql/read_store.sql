-- Reads what was fixed when the store was created. No binds.
SELECT partitions, chunk_events FROM store
