-- Where the workers of a build stand. $1 text: its schema. Placeholder: {catalogue}.
SELECT p.worker, p.part, p.position FROM {catalogue}.builds b JOIN {catalogue}.progress p USING (name, number)
 WHERE b.schema_name = $1 ORDER BY p.worker, p.part
