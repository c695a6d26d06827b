-- Reads the head of every partition, in their order. No binds.
SELECT coalesce((SELECT c.last_pos FROM commits c WHERE c.part = h.part ORDER BY c.first_pos DESC LIMIT 1), h.floor_pos)
  FROM heads h ORDER BY h.part
