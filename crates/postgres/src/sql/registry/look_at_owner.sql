-- Who owns the store, whether this session may act as that role, and who it is. $1 text: the schema.
SELECT quote_ident(r.rolname), r.rolname::text,
       current_user = r.rolname
       OR pg_has_role(current_user, r.oid, CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END),
       session_user::text
  FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner WHERE n.nspname = $1
