-- Lists streams in the order in which they began, each partition's after the other's. $1 int: the partition to begin with.
-- $2 bigint: streams there that began after this position. $3 text[]: categories, NULL for any. $4 text: how the name
-- begins, NULL for any. $5 bigint: streams at most.
SELECT s.part, s.first_pos, s.stream, s.version FROM streams s
 WHERE (s.part, s.first_pos) > ($1, $2)
   AND ($3::text[] IS NULL OR split_part(s.stream, '-', 1) = ANY ($3))
   AND ($4::text IS NULL OR starts_with(s.stream, $4))
 ORDER BY s.part, s.first_pos LIMIT $5
