-- Lists what objects of a build refer to outside of it: tables by foreign keys, inheritance and views. $1 text: its schema.
WITH own AS (SELECT oid FROM pg_class WHERE relnamespace = $1::text::regnamespace),
     referred AS (
         SELECT conrelid AS object, confrelid AS stranger FROM pg_constraint WHERE conrelid IN (TABLE own) AND confrelid <> 0
         UNION ALL
         SELECT inhrelid, inhparent FROM pg_inherits WHERE inhrelid IN (TABLE own)
         UNION ALL
         SELECT r.ev_class, d.refobjid FROM pg_rewrite r
           JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
          WHERE r.ev_class IN (TABLE own))
SELECT DISTINCT object::regclass::text, stranger::regclass::text FROM referred WHERE stranger NOT IN (TABLE own)
