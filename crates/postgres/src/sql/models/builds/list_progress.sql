-- Reads where all workers stand. No binds. Placeholder: {catalogue}.
SELECT p.name, p.number, p.worker, p.part, p.position, p.events FROM {catalogue}.progress p ORDER BY p.name, p.number, p.worker, p.part
