-- Where a copy stands. $1 bigint: its number. Placeholder: {catalogue}.
SELECT worker, part, position FROM {catalogue}.copy_progress WHERE id = $1 ORDER BY worker, part
