-- Takes a number for a copy. No binds. Placeholder: {catalogue}.
SELECT nextval(pg_get_serial_sequence('{catalogue}.copies', 'id'))
