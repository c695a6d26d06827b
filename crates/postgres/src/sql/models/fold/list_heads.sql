-- Where the workers of a build stand whose rows appends write: at the heads. $1 text: its schema. Placeholders:
-- {catalogue}, {schema}.
SELECT p.worker, p.part, coalesce((SELECT c.last_pos FROM {schema}.commits c WHERE c.part = h.part ORDER BY c.first_pos DESC LIMIT 1), h.floor_pos)
  FROM {catalogue}.builds b JOIN {catalogue}.progress p USING (name, number) JOIN {schema}.heads h ON h.part = p.part
 WHERE b.schema_name = $1 ORDER BY p.worker, p.part
