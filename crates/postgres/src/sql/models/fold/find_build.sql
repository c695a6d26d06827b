-- Reads a build to fold it again. $1 text: the projection. $2 int: the build; NULL is the one that serves. Placeholder:
-- {catalogue}.
SELECT b.file, b.text, b.schema_name, b.workers, b.in_appends, b.number FROM {catalogue}.builds b
 WHERE b.name = $1 AND CASE WHEN $2::int IS NULL THEN b.role = 'serving' ELSE b.number = $2 END
