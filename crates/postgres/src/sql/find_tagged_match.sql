-- Finds the first event with all of some tags and one of some types. $1 int: the partition. $2 bigint: after this
-- position. $3 text[]: the types, empty for any. $4 text[]: the tags. $5 bigint: how many events to look at, at
-- most. Looks along the rarest tag; the second column says at how many.
SELECT min(m.position) FILTER (WHERE m.fits), count(*)
  FROM (SELECT c.position,
               (SELECT e.tags @> $4::text[] AND (cardinality($3::text[]) = 0 OR e.type = ANY ($3))
                  FROM events e WHERE e.part = $1 AND e.position = c.position) AS fits
          FROM event_tags c
         WHERE c.part = $1 AND c.position > $2
           AND c.tag = (SELECT t.tag FROM unnest($4::text[]) t(tag)
                         ORDER BY (SELECT count(*) FROM (SELECT FROM event_tags x WHERE x.part = $1 AND x.tag = t.tag
                                                            AND x.position > $2 LIMIT 1024) few) LIMIT 1)
         ORDER BY c.position
         LIMIT $5) m
