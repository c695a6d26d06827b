-- Finds the last position of each partition that was recorded by a moment: commits lie in the order of both, so that each
-- step halves what is left. $1 timestamptz: the moment.
SELECT (WITH RECURSIVE search(low, high) AS (
            SELECT h.floor_pos, coalesce((SELECT c.last_pos FROM commits c WHERE c.part = h.part ORDER BY c.first_pos DESC LIMIT 1), h.floor_pos)
            UNION ALL
            SELECT CASE WHEN m.at <= $1 THEN m.last_pos ELSE s.low END, CASE WHEN m.at <= $1 THEN s.high ELSE m.first_pos - 1 END
              FROM search s,
                   LATERAL (SELECT c.first_pos, c.last_pos, c.at FROM commits c
                             WHERE c.part = h.part AND c.first_pos <= (s.low + s.high + 1) / 2 ORDER BY c.first_pos DESC LIMIT 1) m
             WHERE s.low < s.high)
        SELECT max(low) FROM search)
  FROM heads h ORDER BY h.part
