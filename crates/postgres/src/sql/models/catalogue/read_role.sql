-- Tells who owns the catalogue, or would, and whether this session's role may act as it. $1 text: the catalogue's schema.
-- $2 text: the role that is to own it. Columns: owner of the catalogue, NULL where there is none; whether this role may act
-- as that owner; whether it may act as $2 and that may make schemas.
SELECT n.owner,
       n.owner IS NOT NULL AND (n.owner = current_user OR may.set_owner),
       may.set_wanted AND has_database_privilege($2, current_database(), 'CREATE')
  FROM (SELECT (SELECT r.rolname::text FROM pg_namespace JOIN pg_roles r ON r.oid = nspowner WHERE nspname = $1) AS owner) n,
       LATERAL (SELECT CASE WHEN n.owner IS NULL THEN false ELSE pg_has_role(current_user, n.owner, s.privilege) END AS set_owner,
                       CASE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = $2) THEN pg_has_role(current_user, $2, s.privilege)
                            ELSE false END AS set_wanted
                  FROM (SELECT CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END) s(privilege)) may
