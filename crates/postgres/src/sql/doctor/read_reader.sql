-- Reads what the role that logged in may do beyond reading what people query. $1 text: the store's schema.
SELECT r.rolname::text,
       -- Attributes of which a reader has none.
       array(SELECT word FROM (VALUES (r.rolsuper, 'SUPERUSER'), (r.rolreplication, 'REPLICATION'), (r.rolcreaterole, 'CREATEROLE'),
                                      (r.rolcreatedb, 'CREATEDB'), (r.rolbypassrls, 'BYPASSRLS')) AS attribute(is_set, word) WHERE is_set),
       -- Roles it is a member of, beside the reader.
       array(SELECT other.rolname::text FROM pg_roles other
              WHERE NOT r.rolsuper AND other.oid <> r.oid AND other.rolname <> $1 || '_reader' AND pg_has_role(r.oid, other.oid, 'MEMBER')
              ORDER BY 1),
       coalesce((SELECT pg_has_role(r.oid, oid, 'USAGE') FROM pg_roles WHERE rolname = $1 || '_reader'), false),
       -- NULL where there is no such schema yet.
       (SELECT has_schema_privilege(r.oid, oid, 'USAGE') FROM pg_namespace WHERE nspname = $1 || '_read'),
       has_database_privilege(current_database(), 'CREATE'),
       has_database_privilege(current_database(), 'TEMP'),
       current_setting('temp_file_limit') = '-1',
       current_database()::text
  FROM pg_roles r WHERE r.rolname = session_user
