-- Lists the schemas that are to be thrown away, the oldest first. No binds. Placeholder: {catalogue}.
SELECT id FROM {catalogue}.scratches ORDER BY id
