-- Forgets the copies of a projection but the newest. $1 text: the projection. $2 bigint: how many stay. Placeholder:
-- {catalogue}.
DELETE FROM {catalogue}.copies c
 WHERE c.name = $1 AND c.id NOT IN (SELECT n.id FROM {catalogue}.copies n WHERE n.name = $1 ORDER BY n.id DESC LIMIT $2)
RETURNING c.schema_name
