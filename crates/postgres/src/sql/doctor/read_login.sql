-- Reads what the role that logged in may do. No binds.
SELECT r.rolname::text, r.rolsuper, r.rolcreaterole, has_database_privilege(current_database(), 'CREATE'),
       pg_has_role('pg_read_all_stats', 'USAGE')
  FROM pg_roles r WHERE r.rolname = session_user
