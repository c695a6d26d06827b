-- Finds the table of the heads. No binds.
SELECT 'heads'::regclass::oid
