-- Whether a schema holds anything, and whether others than its owner, this session's role and superusers may make things
-- in it. $1 text: its name.
SELECT EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid)
       OR EXISTS (SELECT FROM pg_proc WHERE pronamespace = n.oid)
       OR EXISTS (SELECT FROM pg_type WHERE typnamespace = n.oid),
       EXISTS (SELECT FROM aclexplode(n.nspacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
                WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
                  AND r.rolname IS DISTINCT FROM current_user AND r.rolsuper IS DISTINCT FROM true)
  FROM pg_namespace n WHERE n.nspname = $1
