//! What must not get through, tried as the reader and as a superuser; and that the database is as it was.

use std::time::{Duration, Instant};

use futures::future::poll_fn;
use pacioli_pgtest::{Cluster, ClusterOptions};
use pacioli_projection::engine::QueryError;
use tokio_postgres::{AsyncMessage, NoTls};

use super::world::{CANARY, Mode, World};

/// Each is to be refused before the database sees it.
const ESCAPES: &[&str] = &[
    // Other statements than queries.
    "INSERT INTO balances VALUES ('x', 1)",
    "UPDATE balances SET cents = 0",
    "DELETE FROM balances",
    "TRUNCATE balances",
    "MERGE INTO balances b USING balances c ON true WHEN MATCHED THEN DELETE",
    "CREATE TABLE t (x int)",
    "CREATE TEMP TABLE t (x int)",
    "CREATE TABLE t AS SELECT 1",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE VIEW v AS SELECT 1",
    "CREATE ROLE evil SUPERUSER LOGIN",
    "ALTER TABLE balances ADD COLUMN x int",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER SYSTEM SET fsync = off",
    "DROP TABLE balances",
    "DROP SCHEMA pacioli CASCADE",
    "GRANT pacioli_owner TO CURRENT_USER",
    "REVOKE ALL ON balances FROM pacioli_reader",
    "COMMENT ON TABLE balances IS 'x'",
    "SET statement_timeout = 0",
    "SET LOCAL work_mem = '1GB'",
    "SET SESSION AUTHORIZATION postgres",
    "SET ROLE postgres",
    "SET TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SET default_transaction_read_only = off",
    "SET session_replication_role = replica",
    "RESET ALL",
    "RESET ROLE",
    "SHOW ALL",
    "SHOW data_directory",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "START TRANSACTION READ WRITE",
    "SAVEPOINT s",
    "PREPARE TRANSACTION 'x'",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE ALL",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "FETCH ALL FROM c",
    "CLOSE ALL",
    "DISCARD ALL",
    "COPY balances TO STDOUT",
    "COPY (SELECT 1) TO PROGRAM 'touch /dev/null'",
    "COPY balances FROM '/etc/passwd'",
    "LOCK TABLE balances IN ACCESS EXCLUSIVE MODE",
    "LISTEN escapes",
    "UNLISTEN *",
    "NOTIFY escapes, 'x'",
    "DO $$ BEGIN PERFORM 1; END $$",
    "CALL pg_catalog.pg_sleep(1)",
    "VACUUM",
    "ANALYZE balances",
    "CHECKPOINT",
    "CLUSTER",
    "REINDEX TABLE balances",
    "REFRESH MATERIALIZED VIEW balances",
    "LOAD 'plpgsql'",
    "SECURITY LABEL ON TABLE balances IS 'x'",
    "EXPLAIN ANALYZE SELECT 1",
    "EXPLAIN (ANALYZE) SELECT 1",
    "EXPLAIN (ANALYZE true, COSTS off) DELETE FROM balances",
    "EXPLAIN DELETE FROM balances",
    "EXPLAIN (FORMAT JSON) SELECT 1",
    "EXPLAIN EXECUTE p",
    "EXPLAIN CREATE TABLE t AS SELECT 1",
    "TABLE balances",
    // Several.
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE balances",
    "SELECT 1;; COMMIT",
    "SELECT 1; -- \n DELETE FROM balances",
    "SELECT 1 /* ; */ ; DELETE FROM balances",
    "SELECT 1 -- ;\n; DELETE FROM balances",
    "SELECT $$;$$; DELETE FROM balances",
    "SELECT 'a\\'; DELETE FROM balances; --'",
    "SELECT E'a\\'; DELETE FROM balances; --'; DELETE FROM balances",
    "SELECT '/*'; DELETE FROM balances; --*/",
    "SELECT \"; DELETE FROM balances; --\"; DELETE FROM balances",
    "COMMIT; BEGIN READ WRITE; DELETE FROM balances",
    "SELECT 1) AS q; DELETE FROM balances; --",
    "SELECT 1) AS q(a), (SELECT 2",
    "SELECT 1 FROM (SELECT 2",
    "\u{feff}SELECT 1; DELETE FROM balances",
    // Writing queries.
    "SELECT 1 INTO t",
    "SELECT * INTO TEMP t FROM balances",
    "SELECT * INTO UNLOGGED t FROM balances",
    "WITH x AS (SELECT 1 AS n) SELECT * INTO t FROM x",
    "WITH gone AS (DELETE FROM balances RETURNING *) SELECT * FROM gone",
    "WITH a AS (SELECT 1), b AS (UPDATE balances SET cents = 0 RETURNING 1) SELECT 1",
    "WITH a AS (WITH b AS (INSERT INTO balances VALUES ('x', 1) RETURNING 1) SELECT * FROM b) SELECT * FROM a",
    "WITH a AS (SELECT 1) INSERT INTO balances SELECT 'x', 1 FROM a",
    "WITH a AS (SELECT 1) DELETE FROM balances",
    "WITH a AS (SELECT 1) UPDATE balances SET cents = 0",
    "WITH a AS (SELECT 1) MERGE INTO balances b USING a ON true WHEN MATCHED THEN DELETE",
    "SELECT * FROM (WITH gone AS (DELETE FROM balances RETURNING *) SELECT * FROM gone) x",
    "SELECT * FROM [DELETE FROM balances RETURNING *] AS x",
    "SELECT * FROM balances FOR UPDATE",
    "SELECT * FROM balances FOR NO KEY UPDATE SKIP LOCKED",
    "SELECT * FROM balances FOR SHARE OF balances",
    "SELECT * FROM (SELECT * FROM balances FOR UPDATE) x",
    "SELECT (SELECT cents FROM balances LIMIT 1 FOR KEY SHARE)",
    // Functions that run SQL from a text, or tell tables.
    "SELECT query_to_xml('SELECT canary FROM public.secret', true, false, '')",
    "SELECT query_to_xml('SET ROLE postgres', true, false, '')",
    "SELECT query_to_xml('select set_config(''role'', ''postgres'', false)', true, false, '')",
    "SELECT query_to_xmlschema('SELECT 1', true, false, '')",
    "SELECT query_to_xml_and_xmlschema('DELETE FROM balances', true, false, '')",
    "SELECT table_to_xml('public.secret', true, false, '')",
    "SELECT table_to_xmlschema('public.secret', true, false, '')",
    "SELECT table_to_xml_and_xmlschema('public.secret', true, false, '')",
    "SELECT schema_to_xml('public', true, false, '')",
    "SELECT schema_to_xmlschema('public', true, false, '')",
    "SELECT schema_to_xml_and_xmlschema('public', true, false, '')",
    "SELECT database_to_xml(true, false, '')",
    "SELECT database_to_xmlschema(true, false, '')",
    "SELECT database_to_xml_and_xmlschema(true, false, '')",
    "SELECT cursor_to_xml('c', 1, true, false, '')",
    "SELECT * FROM ts_stat('SELECT to_tsvector(canary) FROM public.secret')",
    "SELECT ts_rewrite('a'::tsquery, 'SELECT to_tsquery(canary), to_tsquery(canary) FROM public.secret')",
    "SELECT public.telling()",
    "SELECT public.lower('a', 'b')",
    "SELECT public.writing()",
    "SELECT dblink('', 'SELECT 1')",
    // Settings, locks, waits, messages, numbers, files, the catalogue.
    "SELECT set_config('statement_timeout', '0', false)",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "SELECT current_setting('data_directory')",
    "SELECT pg_reload_conf()",
    "SELECT pg_advisory_lock(42)",
    "SELECT pg_advisory_xact_lock(1, 2)",
    "SELECT pg_try_advisory_lock_shared(42)",
    "SELECT pg_sleep(10)",
    "SELECT pg_sleep_for('10 seconds')",
    "SELECT pg_sleep_until('tomorrow')",
    "SELECT pg_notify('escapes', 'x')",
    "SELECT pg_logical_emit_message(true, 'escapes', 'x')",
    "SELECT pg_logical_emit_message(false, 'escapes', 'x')",
    "SELECT nextval('public.numbers')",
    "SELECT setval('public.numbers', 1)",
    "SELECT currval('public.numbers'), lastval()",
    "SELECT txid_current()",
    "SELECT pg_current_xact_id()",
    "SELECT lo_create(0)",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/dev/null')",
    "SELECT lo_get(1), lo_from_bytea(0, ''), lo_put(1, 0, ''), lo_unlink(1)",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('PG_VERSION')",
    "SELECT pg_ls_dir('.'), pg_stat_file('.')",
    "SELECT * FROM pg_ls_waldir()",
    "SELECT pg_terminate_backend(1), pg_cancel_backend(1)",
    "SELECT pg_rotate_logfile(), pg_switch_wal(), pg_create_restore_point('x'), pg_promote()",
    "SELECT pg_create_physical_replication_slot('x')",
    "SELECT pg_drop_replication_slot('x')",
    "SELECT pg_export_snapshot()",
    "SELECT pg_get_viewdef('balances'::regclass)",
    "SELECT pg_relation_size('public.secret')",
    "SELECT has_table_privilege('public.secret', 'SELECT')",
    "SELECT setseed(0.5)",
    "SELECT version(), current_database(), inet_server_addr()",
    "SELECT current_user",
    "SELECT session_user, user, current_role, current_catalog, current_schema",
    "SELECT to_regclass('public.secret')",
    "SELECT 'public.secret'::regclass",
    "SELECT CAST('postgres' AS regrole)",
    "SELECT regclass 'public.secret'",
    "SELECT '{pg_class}'::regclass[]",
    "SELECT '<a/>'::xml",
    "SELECT xmlparse(CONTENT '<a/>')",
    "SELECT xpath('/a', '<a/>')",
    "SELECT xmlelement(name a, 1)",
    "SELECT * FROM xmltable('/a' PASSING '<a/>' COLUMNS x int PATH '.')",
    "SELECT json_populate_record(null::pg_authid, '{}')",
    "SELECT json_populate_record(null::public.secret, '{}')",
    // The same where they are hard to see.
    "SELECT pg_catalog.pg_sleep(10)",
    "SELECT PG_SLEEP(10)",
    "SELECT pg_sleep (10)",
    "SELECT pg_sleep/**/(10)",
    "SELECT pg_sleep -- (\n (10)",
    "SELECT \"pg_sleep\"(10)",
    "SELECT \"pg_catalog\".\"pg_sleep\"(10)",
    "SELECT pg_catalog . /* . */ pg_sleep(10)",
    "SELECT U&\"\\0070g_sleep\"(10)",
    "SELECT u&\"pg\\005fsleep\"(10)",
    "SELECT U&\"p!0067_sleep\" UESCAPE '!' (10)",
    "SELECT postgres.pg_catalog.pg_sleep(10)",
    "SELECT pg_temp.pg_sleep(10)",
    "SELECT 1 WHERE pg_sleep(10) IS NULL",
    "SELECT 1 ORDER BY pg_sleep(10)",
    "SELECT 1 GROUP BY pg_sleep(10)",
    "SELECT 1 HAVING pg_sleep(10) IS NULL",
    "SELECT 1 LIMIT (SELECT 1 FROM pg_sleep(10))",
    "SELECT 1 OFFSET length(pg_sleep(10)::text)",
    "SELECT * FROM pg_sleep(10)",
    "SELECT * FROM balances, pg_sleep(10)",
    "SELECT * FROM balances b JOIN balances c ON pg_sleep(10) IS NULL",
    "SELECT * FROM balances, LATERAL pg_sleep(cents)",
    "SELECT * FROM balances, LATERAL (SELECT pg_sleep(cents)) x",
    "SELECT * FROM ROWS FROM (generate_series(1, 2), pg_sleep(10))",
    "SELECT * FROM unnest(ARRAY(SELECT pg_sleep(10)))",
    "SELECT * FROM generate_series(1, (SELECT 1 FROM pg_sleep(10)))",
    "VALUES (pg_sleep(10))",
    "SELECT sum(cents) OVER (ORDER BY pg_sleep(10)) FROM balances",
    "SELECT sum(cents) OVER w FROM balances WINDOW w AS (PARTITION BY pg_sleep(10))",
    "SELECT sum(cents) FILTER (WHERE pg_sleep(10) IS NULL) FROM balances",
    "SELECT sum(cents ORDER BY pg_sleep(10)) FROM balances",
    "SELECT mode() WITHIN GROUP (ORDER BY pg_sleep(10)) FROM balances",
    "SELECT array_agg(pg_sleep(10))",
    "SELECT CASE WHEN pg_sleep(10) IS NULL THEN 1 END",
    "SELECT ARRAY[pg_sleep(10)]",
    "SELECT (ARRAY[1])[length(pg_sleep(10)::text)]",
    "SELECT ROW(pg_sleep(10))",
    "SELECT (pg_sleep(10))::text",
    "SELECT CAST(pg_sleep(10) AS text)",
    "SELECT extract(epoch FROM now() + (pg_sleep(10)::text)::interval)",
    "SELECT substring('a' FROM length(pg_sleep(10)::text))",
    "SELECT position('a' IN pg_sleep(10)::text)",
    "SELECT trim(BOTH FROM pg_sleep(10)::text)",
    "SELECT overlay('a' PLACING pg_sleep(10)::text FROM 1)",
    "SELECT 1 IN (SELECT 1 FROM pg_sleep(10))",
    "SELECT EXISTS (SELECT pg_sleep(10))",
    "SELECT 1 = ANY (SELECT 1 FROM pg_sleep(10))",
    "SELECT 1 BETWEEN 0 AND length(pg_sleep(10)::text)",
    "SELECT 'a' LIKE pg_sleep(10)::text",
    "SELECT now() AT TIME ZONE pg_sleep(10)::text",
    "SELECT 'a' COLLATE \"C\" || pg_sleep(10)",
    "SELECT coalesce(NULL, pg_sleep(10)::text)",
    "SELECT nullif(1, length(pg_sleep(10)::text))",
    "SELECT 1 UNION SELECT 1 FROM pg_sleep(10)",
    "(SELECT 1) EXCEPT (SELECT 1 FROM pg_sleep(10))",
    "WITH x AS (SELECT pg_sleep(10)) SELECT * FROM x",
    "WITH pg_sleep(a) AS (SELECT 1) SELECT pg_sleep(10) FROM pg_sleep",
    "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x, pg_sleep(10)) SELECT * FROM x",
    "SELECT DISTINCT ON (pg_sleep(10)) 1",
    "SELECT * FROM balances NATURAL JOIN (SELECT pg_sleep(10)) x",
    "SELECT * FROM balances TABLESAMPLE bernoulli (10)",
    "SELECT * FROM balances TABLESAMPLE system (length(pg_sleep(10)::text))",
    "SELECT count(*) FROM balances GROUP BY ROLLUP (pg_sleep(10))",
    "SELECT format('%s', pg_sleep(10))",
    "SELECT lower(variadic_pg_sleep => pg_sleep(10))",
    "SELECT 1 OPERATOR(public.+) 1",
    "SELECT OPERATOR(pg_catalog.-) 1",
    "SELECT 1 ORDER BY 1 USING OPERATOR(public.<)",
    "SELECT $1",
    "SELECT $1::text",
    "EXECUTE IMMEDIATE 'SELECT 1'",
    "SELECT {fn pg_sleep(10)}",
    "SELECT `pg_sleep`(10)",
    "SELECT [pg_sleep](10)",
    "SELECT pg_sleep(10",
    "SELECT 1 \\; DELETE FROM balances",
    "\\! touch x",
    "SELECT pg\u{200b}_sleep(10)",
    "SELECT ｐg_sleep(10)",
    // Relations beyond what people query.
    "SELECT * FROM public.secret",
    "SELECT * FROM public.open_to_all",
    "SELECT * FROM \"public\".\"secret\"",
    "SELECT * FROM pacioli.events",
    "SELECT * FROM pacioli.log",
    "SELECT * FROM pacioli_balances_1.balances",
    "SELECT * FROM pacioli_projections.builds",
    "SELECT * FROM PACIOLI_READ . \"pg_class\"",
    "SELECT * FROM \"PACIOLI_READ\".balances",
    "SELECT * FROM pg_authid",
    "SELECT * FROM PG_SHADOW",
    "SELECT * FROM pg_catalog.pg_class",
    "SELECT * FROM \"pg_settings\"",
    "SELECT * FROM pg_stat_activity",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_toast.pg_toast_1262",
    "SELECT * FROM pg_temp.x",
    "SELECT * FROM postgres.public.secret",
    "SELECT * FROM ONLY (public.secret)",
    "SELECT * FROM (public.secret)",
    "SELECT * FROM balances JOIN public.secret ON true",
    "SELECT * FROM balances, LATERAL (SELECT * FROM public.secret) x",
    "SELECT (SELECT canary FROM public.secret)",
    "SELECT ARRAY(SELECT canary FROM public.secret)",
    "SELECT 1 IN (SELECT length(canary) FROM public.secret)",
    "WITH secret AS (SELECT * FROM public.secret) SELECT * FROM secret",
    "WITH RECURSIVE x AS (SELECT canary FROM public.secret UNION SELECT canary FROM x) SELECT * FROM x",
    "SELECT 1 UNION SELECT 1 FROM public.secret",
    "SELECT 1 ORDER BY (SELECT canary FROM public.secret)",
    "SELECT sum(1) FILTER (WHERE EXISTS (SELECT 1 FROM public.secret))",
    "VALUES ((SELECT canary FROM public.secret))",
    "SELECT U&\"s\" FROM U&\"p\\0075blic\".secret",
    // What makes no sense.
    "",
    ";",
    "-- only a comment",
    "/* only a comment",
    "SELECT 'never closed",
    "SELECT \"never closed",
    "SELECT $$never closed",
    "SELECT $tag$never closed$other$",
    "SELECT (1",
    "SELECT 1)",
    "SELECT 'a\0b'",
    "SELECT\u{b}1",
    "SELECT 'a' 'b'",
    "SELECT 'a'\n'b'",
    "SELECT 0x1F",
    "SELECT 1_000",
    "SELECT 123abc",
    "SELECT N'a'",
    "SELECT E'\\x41'",
    "SELECT a$b FROM balances",
];

/// Each passes the check of the text, and the database refuses it, or it does no harm.
const HARMLESS: &[&str] = &[
    "SELECT * FROM secret",
    "SELECT * FROM open_to_all",
    "SELECT lower('a', 'b')",
    "SELECT balances.pg_sleep FROM balances",
    "SELECT b.current_query FROM balances b",
    "SELECT b.row_to_json FROM balances b",
    "SELECT (b).pg_typeof, b.pg_column_size FROM balances b LIMIT 1",
    "SELECT 'SELECT pg_sleep(10)', 'table_to_xml(''public.secret'')', $q$ set_config('role', 'postgres', false) $q$",
    "SELECT 'COPY', 'DELETE FROM balances', E'\\'; DELETE FROM balances; --'",
    "SELECT 1 AS pg_sleep, 2 AS \"set_config\"",
    "EXPLAIN SELECT * FROM balances",
];

/// What a superuser sees of the database that a query could have changed.
const FINGERPRINT: &str = "SELECT concat_ws(E'\\n',
    (SELECT string_agg(format('%s %s %s', c.oid::regclass, c.relowner, c.relacl), ',' ORDER BY c.oid) FROM pg_class c WHERE c.relnamespace::regnamespace::text !~ '^pg_temp'),
    (SELECT string_agg(format('%s %s', oid::regprocedure, proowner), ',' ORDER BY oid) FROM pg_proc WHERE oid > 16383),
    (SELECT string_agg(format('%s %s %s %s', rolname, rolsuper, rolcreaterole, rolconfig), ',' ORDER BY oid) FROM pg_roles),
    (SELECT string_agg(format('%s %s', roleid, member), ',' ORDER BY roleid, member) FROM pg_auth_members),
    (SELECT string_agg(format('%s %s', name, setting), ',' ORDER BY name) FROM pg_settings WHERE source <> 'client'),
    (SELECT string_agg(b::text, ',' ORDER BY account) FROM pacioli_balances_1.balances b),
    (SELECT string_agg(canary, ',') FROM public.secret),
    (SELECT string_agg(format('%s', e), ',' ORDER BY position) FROM pacioli.events e),
    (SELECT count(*) FROM pg_largeobject_metadata),
    (SELECT format('%s %s', last_value, is_called) FROM public.numbers),
    (SELECT count(*) FROM pg_prepared_xacts),
    (SELECT string_agg(slot_name, ',') FROM pg_replication_slots),
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
    (SELECT string_agg(nspname, ',' ORDER BY nspname) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'))";

async fn nothing_gets_through(mode: Mode) {
    let cluster = Cluster::start(ClusterOptions::default()).expect("a cluster");
    let world = World::in_cluster(&cluster, "escapes", mode).await;
    let database = world.location.database().to_owned();
    let value = |sql: &str| cluster.sql_value(&database, sql).expect("an answer");

    // Who would hear of it: a listener, and a slot that keeps logical messages.
    let (listener, mut heard) = tokio_postgres::connect(&cluster.url(&database), NoTls).await.expect("a connection");
    let notices = tokio::spawn(async move {
        let mut notices = Vec::new();
        while let Some(Ok(message)) = poll_fn(|context| heard.poll_message(context)).await {
            if let AsyncMessage::Notification(notice) = message {
                notices.push(notice.payload().to_owned());
            }
        }
        notices
    });
    listener.batch_execute("LISTEN escapes").await.expect("listening");
    value("SELECT count(*) FROM pg_create_logical_replication_slot('witness', 'test_decoding')");
    let before = value(FINGERPRINT);
    let began = Instant::now();

    let mut through = Vec::new();
    for sql in ESCAPES {
        match world.ask(sql).await {
            Err(QueryError::Refused(reason)) => {
                assert!(!reason.is_empty() && !reason.contains(CANARY), "{sql}: {reason}")
            }
            other => through.push(format!("{sql}\n    {other:?}")),
        }
    }
    assert!(through.is_empty(), "{}", through.join("\n"));
    for sql in HARMLESS {
        let told = format!("{:?}", world.ask(sql).await);
        assert!(!told.contains(CANARY), "{sql}\n{told}");
        let fails_in_the_database = told.starts_with("Err(Invalid(");
        assert!(told.starts_with("Ok(") || fails_in_the_database, "{sql}\n{told}");
    }
    assert!(began.elapsed() < Duration::from_secs(30), "something slept");

    let asleep = value(
        "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE '%pg_sleep(%' AND state = 'active' AND pid <> pg_backend_pid()",
    );
    assert_eq!(asleep, "0");
    assert_eq!(before, value(FINGERPRINT), "something changed");
    // Transactions that wrote something would be there too.
    let decoded = value("SELECT count(*) FROM pg_logical_slot_get_changes('witness', NULL, NULL)");
    assert_eq!(decoded, "0", "a message or a write went into the log");
    drop(listener);
    assert_eq!(notices.await.expect("the listener ends"), Vec::<String>::new());
    assert_eq!(world.rows("SELECT count(*) FROM balances").await.len(), 1, "and it goes on");
}

#[tokio::test]
async fn nothing_gets_through_as_the_reader() {
    nothing_gets_through(Mode::Reader).await;
}

#[tokio::test]
async fn nothing_gets_through_as_a_superuser() {
    nothing_gets_through(Mode::Superuser).await;
}
