-- Puts the workers of a build where the log ends, while the heads are locked. $1 text: the projection. $2 int: the build.
-- Placeholders: {catalogue}, {schema}.
UPDATE {catalogue}.progress p
   SET position = coalesce((SELECT c.last_pos FROM {schema}.commits c WHERE c.part = p.part ORDER BY c.first_pos DESC LIMIT 1), 0)
 WHERE p.name = $1 AND p.number = $2
