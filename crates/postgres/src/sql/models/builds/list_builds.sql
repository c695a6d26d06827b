-- Reads all builds. No binds. Placeholder: {catalogue}.
SELECT b.name, b.number, b.file, b.text, b.role, b.state, b.failed_part, b.failed_position, b.failed_error, b.failed_at,
       b.workers, b.began_at, b.served_at, b.in_appends, b.schema_name, b.epoch
  FROM {catalogue}.builds b ORDER BY b.name, b.number
