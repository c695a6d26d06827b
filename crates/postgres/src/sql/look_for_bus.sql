-- Looks whether this role can follow the log through a replication slot, and as whom it is here. $1 text: the
-- publication. $2 text: the schema. On Amazon's servers a role may replicate that is a member of `rds_replication`.
SELECT current_setting('wal_level'),
       EXISTS (SELECT FROM pg_roles r WHERE r.rolname = session_user AND (r.rolsuper OR r.rolreplication))
           OR EXISTS (SELECT FROM pg_roles r
                       WHERE r.rolname = 'rds_replication' AND pg_has_role(session_user, r.oid, 'member')),
       EXISTS (SELECT FROM pg_publication p JOIN pg_publication_tables t ON t.pubname = p.pubname
                WHERE p.pubname = $1::text AND p.pubinsert AND t.schemaname = $2::text AND t.tablename = 'commits'),
       session_user::text,
       current_database()::text
