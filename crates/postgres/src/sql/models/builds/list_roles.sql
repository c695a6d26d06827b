-- Reads the roles of a projection's builds, and keeps others from changing them. $1 text: its name. Placeholder: {catalogue}.
SELECT b.number, b.role, b.schema_name, b.mode, b.state, b.in_appends, b.workers FROM {catalogue}.builds b
 WHERE b.name = $1 ORDER BY b.number FOR UPDATE
