-- Reads what a session that runs queries is to know of its login: the role to step down to, whether its
-- temporary files are without bounds and it may set some, and whether it may let go of advisory locks. $1 text: the store's schema.
SELECT (SELECT rolname::text FROM pg_roles
         WHERE rolname = $1 || '_reader'
           AND pg_has_role(session_user, oid, CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END)),
       current_setting('temp_file_limit') = '-1' AND has_parameter_privilege(session_user, 'temp_file_limit', 'SET'),
       has_function_privilege(session_user, 'pg_advisory_unlock_all()', 'EXECUTE')
