-- Reads settings, and what a session of this role begins with. $1 text[]: their names. Those a version does not know are left out.
SELECT name, setting, reset_val FROM pg_settings WHERE name = ANY ($1)
