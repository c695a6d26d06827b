-- Reads what all builds passed over: name, number, type and how many events. No binds. Placeholder: {catalogue}.
SELECT b.name, b.number, p.type, sum(p.events)::bigint
  FROM {catalogue}.passed_over p JOIN {catalogue}.builds b USING (schema_name) GROUP BY b.name, b.number, p.type
