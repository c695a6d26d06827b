//! What the doctor finds, for each severity that can be brought about.

use std::time::Duration;

use pacioli_core::store::{Bus, EventStore};
use pacioli_core::{Append, AppendOutcome, EventId, EventType, ExpectedVersion, NewEvent, StreamName};
use pacioli_pgtest::{Cluster, ClusterOptions, shared};
use pacioli_postgres::doctor::{Finding, Severity, Thresholds, bus, examine, examine_with};
use pacioli_postgres::{PostgresOptions, migrate};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::support::{location, open, options};

use Severity::{Failure, Ok as Fine, Warning};

/// The lines of a name.
fn lines<'a>(findings: &'a [Finding], name: &str) -> Vec<&'a Finding> {
    findings.iter().filter(|finding| finding.name == name).collect()
}

/// There is a line of this name and severity that says so.
#[track_caller]
fn assert_found(findings: &[Finding], name: &str, severity: Severity, says: &str) {
    let lines = lines(findings, name);
    let found = lines.iter().any(|line| line.severity == severity && line.says.contains(says));
    assert!(found, "{name} {severity:?} {says:?} is not among {lines:#?}");
    let is_advised = lines.iter().all(|line| line.severity == Fine || line.advice.is_some());
    assert!(is_advised, "no advice: {lines:#?}");
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client.batch_execute("SET search_path = pacioli").await.expect("a path");
    client
}

async fn append(url: &str, options: PostgresOptions, events: u128) {
    let store = open(url, options).await.expect("a store");
    let event = |number| {
        NewEvent::json(EventId(Uuid::from_u128(number)), EventType::new("Happened").expect("a name"), &b"{}"[..])
    };
    let append =
        Append::to(StreamName::new("a-1").expect("a name"), ExpectedVersion::Any, (1..=events).map(event).collect());
    assert!(matches!(store.append(append).await.expect("an answer"), AppendOutcome::Appended(_)));
}

/// A new store in the shared cluster.
async fn store(label: &str) -> String {
    let url = pacioli_pgtest::database_url(label);
    migrate::init(&location(&url), None).await.expect("a store");
    url
}

#[tokio::test]
async fn a_store_that_is_set_up_as_the_documentation_says_has_nothing_but_ok() {
    let settings = vec![("max_slot_wal_keep_size".to_owned(), "1GB".to_owned())];
    let cluster =
        Cluster::start(ClusterOptions { fsync: true, settings, ..ClusterOptions::default() }).expect("a cluster");
    cluster.sql("postgres", "CREATE DATABASE shop").expect("a database");
    let made = migrate::init(&location(&cluster.url("shop")), None).await.expect("a store");
    assert!(!made.is_empty());
    cluster.sql("postgres", "CREATE ROLE app LOGIN REPLICATION IN ROLE pacioli_appender").expect("a login");
    cluster.sql("postgres", "CREATE ROLE app_analyst LOGIN IN ROLE pacioli_reader").expect("a reader");
    let url = cluster.url("shop").replacen("postgres@", "app@", 1) + "&reader=app_analyst";
    append(&url, PostgresOptions::default(), 3).await;

    let findings = examine(&location(&url)).await;
    // The cluster trusts whoever reaches its socket, and from PostgreSQL 16 on a session can tell that it was.
    let is_bad = |finding: &&Finding| finding.severity > Fine && finding.name != "pg_hba";
    let bad: Vec<&Finding> = findings.iter().filter(is_bad).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    for name in [
        "connection",
        "version",
        "encoding",
        "recovery",
        "fsync",
        "full_page_writes",
        "synchronous_commit",
        "data_checksums",
        "data_sync_retry",
        "autovacuum",
        "timeouts",
        "wal_level",
        "max_slot_wal_keep_size",
        "clock",
        "connections",
        "slots",
        "replicate",
        "bus",
        "login",
        "pg_hba",
        "transactions",
        "prepared",
        "schema",
        "epoch",
        "chunks",
        "frozen",
        "periods",
        "roles",
        "guards",
        "foreign",
        "grants",
        "heads",
        "reader",
    ] {
        assert_eq!(lines(&findings, name).len(), 1, "{name}: {findings:#?}");
    }
    assert_eq!(bus(&location(&url)).await.expect("an answer"), Bus::Slot);

    // The same with everything weaker that needs no other cluster.
    cluster.sql("postgres", "ALTER ROLE app NOREPLICATION; ALTER ROLE app SET synchronous_commit = off; ALTER ROLE app SET idle_in_transaction_session_timeout = '1min'").expect("weaker");
    cluster
        .configure(&[
            ("wal_level", "replica"),
            ("autovacuum", "off"),
            ("max_slot_wal_keep_size", "-1"),
            ("data_sync_retry", "on"),
            ("max_connections", "26"),
        ])
        .expect("weaker");
    cluster.restart(pacioli_pgtest::Shutdown::Fast).expect("restarted");
    let findings = examine(&location(&url)).await;
    assert_found(&findings, "synchronous_commit", Warning, "off");
    assert_found(&findings, "timeouts", Fine, "idle_in_transaction_session_timeout = 60000 ms");
    assert_found(&findings, "wal_level", Warning, "replica");
    assert_found(&findings, "autovacuum", Warning, "off");
    assert_found(&findings, "max_slot_wal_keep_size", Warning, "unbounded");
    assert_found(&findings, "data_sync_retry", Warning, "on");
    assert_found(&findings, "replicate", Warning, "app may not replicate");
    assert_found(&findings, "bus", Warning, "wal_level is replica");
    assert_found(&findings, "connections", Warning, "of 23 are taken");
    assert!(findings.iter().all(|finding| finding.severity < Failure), "{findings:#?}");
    let Bus::Polling { why } = bus(&location(&url)).await.expect("an answer") else { panic!("a slot without logical") };
    assert!(why.contains("wal_level"), "{why}");
}

#[tokio::test]
async fn a_reader_may_read_and_nothing_more() {
    let cluster = Cluster::start(ClusterOptions::default()).expect("a cluster");
    let name = cluster.create_database("readers").expect("a database");
    let url = cluster.url(&name);
    migrate::init(&location(&url), None).await.expect("a store");
    let none = examine(&location(&url)).await;
    assert_found(&none, "reader", Warning, "queries in SQL run as postgres");
    let advice = lines(&none, "reader")[0].advice.clone().expect("advice");
    assert!(advice.contains("CREATE ROLE pacioli_analyst LOGIN PASSWORD") && advice.contains("--reader"), "{advice}");

    for (number, (made, then, severity, says)) in [
        ("IN ROLE pacioli_reader", "", Fine, "change nothing"),
        ("SUPERUSER", "", Failure, "it is SUPERUSER"),
        (
            "REPLICATION CREATEROLE CREATEDB IN ROLE pacioli_reader",
            "",
            Failure,
            "it is REPLICATION, CREATEROLE, CREATEDB",
        ),
        ("IN ROLE pacioli_reader, pacioli_appender", "", Failure, "a member of pacioli_appender"),
        ("IN ROLE pacioli_owner", "", Failure, "a member of pacioli_owner"),
        ("IN ROLE pacioli_reader, pg_read_server_files", "", Failure, "a member of pg_read_server_files"),
        ("IN ROLE pacioli_reader, pg_monitor", "", Failure, "pg_monitor"),
        ("", "", Failure, "may not read what people query"),
        ("IN ROLE pacioli_reader", "GRANT CREATE ON DATABASE {database} TO {login}", Failure, "may make schemas"),
        ("IN ROLE pacioli_reader", "CREATE ROLE sales; GRANT sales TO {login}", Warning, "a member of sales too"),
        ("IN ROLE pacioli_reader NOLOGIN", "", Failure, "cannot log in"),
    ]
    .into_iter()
    .enumerate()
    {
        let login = format!("reader_{number}");
        cluster
            .sql(
                &name,
                &format!("CREATE ROLE {login} LOGIN {made}")
                    .replace("LOGIN IN ROLE pacioli_reader NOLOGIN", "NOLOGIN IN ROLE pacioli_reader"),
            )
            .expect("a login");
        if !then.is_empty() {
            cluster.sql(&name, &then.replace("{login}", &login).replace("{database}", &name)).expect("a grant");
        }
        let findings = examine(&location(&format!("{url}&reader={login}"))).await;
        assert_found(&findings, "reader", severity, says);
        assert_eq!(lines(&findings, "reader").len(), 1, "{findings:#?}");
    }
    let hint = examine(&location(&format!("{url}&reader=reader_0"))).await;
    let advice = lines(&hint, "reader")[0].advice.clone().expect("a hint");
    assert!(advice.contains("temp_file_limit") && advice.contains("TEMPORARY"), "{advice}");
    cluster
        .sql(
            &name,
            &format!(
                "ALTER ROLE reader_0 SET temp_file_limit = '1GB'; REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC"
            ),
        )
        .expect("bounded");
    let bounded = examine(&location(&format!("{url}&reader=reader_0"))).await;
    assert_eq!(lines(&bounded, "reader")[0].advice, None, "{bounded:#?}");
    // Another database has another store.
    let other = cluster.create_database("elsewhere").expect("a database");
    let reader = location(&cluster.url(&other).replacen("postgres@", "reader_0@", 1));
    let elsewhere = examine(&location(&url).with_reader(reader).expect("a location")).await;
    assert_found(&elsewhere, "reader", Failure, "which is not the one of the store");
}

#[tokio::test]
async fn what_breaks_a_promise_is_a_failure() {
    let findings = examine(&location(&store("doctor_fsync").await)).await;
    assert_found(&findings, "fsync", Failure, "off");
    assert_found(&findings, "full_page_writes", Failure, "off");
    assert_found(&findings, "login", Warning, "postgres is a superuser");
    assert_found(&findings, "pg_hba", Warning, "line ");
    assert_found(&findings, "max_slot_wal_keep_size", Warning, "unbounded");

    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("doctor_{}", encoding.to_lowercase());
        let sql =
            format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'");
        shared().sql("postgres", &sql).expect("a database");
        let findings = examine(&location(&shared().url(&name))).await;
        assert_found(&findings, "encoding", Failure, encoding);
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_one_failure() {
    let findings = examine(&location("postgres://app@127.0.0.1:1/shop?connect_timeout=2")).await;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_found(&findings, "connection", Failure, "cannot be reached");
    let findings = examine(&location(&shared().url("there_is_no_such_database"))).await;
    assert_found(&findings, "connection", Failure, "does not exist");
}

#[tokio::test]
async fn an_empty_database_says_who_may_make_a_store() {
    let url = pacioli_pgtest::database_url("doctor_empty");
    assert_found(&examine(&location(&url)).await, "schema", Fine, "will make it, with its roles");
    let database = location(&url).database().to_owned();
    shared().sql("postgres", "CREATE ROLE doctor_guest LOGIN; CREATE ROLE doctor_maker LOGIN").expect("logins");
    shared().sql("postgres", &format!("GRANT CREATE ON DATABASE {database} TO doctor_maker")).expect("a right");
    let guest = examine(&location(&url.replacen("postgres@", "doctor_guest@", 1))).await;
    assert_found(&guest, "schema", Warning, "doctor_guest may not make one");
    let maker = examine(&location(&url.replacen("postgres@", "doctor_maker@", 1))).await;
    assert_found(&maker, "schema", Fine, "without roles");

    // A store that it may not look into is no reason to panic, nor to say that all is well.
    migrate::init(&location(&url), None).await.expect("a store");
    let guest = examine(&location(&url.replacen("postgres@", "doctor_guest@", 1))).await;
    assert_found(&guest, "schema", Warning, "could not be looked at");
    let reader = "GRANT pacioli_reader TO doctor_guest";
    shared().sql("postgres", reader).expect("a right");
    let guest = examine(&location(&url.replacen("postgres@", "doctor_guest@", 1))).await;
    assert_found(&guest, "schema", Fine, "up to date");
    assert_found(&guest, "periods", Warning, "could not be looked at");
    assert_found(&guest, "roles", Fine, "no member of the appender");
}

#[tokio::test]
async fn a_store_without_roles_or_of_another_version_is_told() {
    let cluster = Cluster::start(ClusterOptions::default()).expect("a cluster");
    cluster.sql("postgres", "CREATE ROLE plain LOGIN").expect("a login");
    cluster.sql("postgres", "CREATE DATABASE shop OWNER plain").expect("a database");
    let url = cluster.url("shop").replacen("postgres@", "plain@", 1);
    migrate::init(&location(&url), None).await.expect("a store");
    assert_found(
        &examine(&location(&url)).await,
        "roles",
        Warning,
        "plain owns the store, and there is no pacioli_owner",
    );
    migrate::init(&location(&cluster.url("shop")), None).await.expect("completed");
    cluster.sql("postgres", "GRANT pacioli_owner TO plain").expect("a right");
    assert_found(&examine(&location(&url)).await, "roles", Warning, "plain is a member of the owner");

    cluster.sql("shop", "UPDATE pacioli.migrations SET definitions = 'older'").expect("older");
    assert_found(&examine(&location(&url)).await, "schema", Warning, "another version");
    cluster.sql("shop", "INSERT INTO pacioli.migrations (version, name) VALUES (999, 'of the future')").expect("newer");
    assert_found(&examine(&location(&url)).await, "schema", Failure, "newer version");
}

#[tokio::test]
async fn a_guard_that_is_missing_and_what_others_put_on_the_log_are_failures() {
    let url = store("doctor_guards").await;
    let at = location(&url);
    let client = connect(&url).await;
    let findings = examine(&at).await;
    assert_found(&findings, "guards", Fine, "append_only on all");
    assert_found(&findings, "foreign", Fine, "no trigger");

    client.batch_execute("DROP TRIGGER append_only ON events_c000002").await.expect("dropped");
    assert_found(&examine(&at).await, "guards", Failure, "events_c000002");
    client.batch_execute("SELECT guard('events_c000002')").await.expect("as advised");
    assert_found(&examine(&at).await, "guards", Fine, "append_only");
    client.batch_execute("DROP PUBLICATION pacioli_bus").await.expect("dropped");
    assert_found(&examine(&at).await, "bus", Warning, "no publication");
    for wrong in [
        "ALTER TABLE commits ENABLE TRIGGER append_only",
        "ALTER TABLE commits DISABLE TRIGGER append_only",
        "DROP TRIGGER append_only ON commits; CREATE TRIGGER append_only BEFORE UPDATE ON commits EXECUTE FUNCTION refuse_change(); \
         ALTER TABLE commits ENABLE ALWAYS TRIGGER append_only",
    ] {
        client.batch_execute(wrong).await.expect("weakened");
        assert_found(&examine(&at).await, "guards", Failure, "commits");
    }
    client.batch_execute("DROP TRIGGER append_only ON commits; SELECT guard('commits')").await.expect("as advised");
    let disarm =
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$";
    client.batch_execute(disarm).await.expect("disarmed");
    assert_found(&examine(&at).await, "guards", Failure, "not that of this build");

    for (make, says) in [
        (
            "CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; \
          CREATE TRIGGER spy BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION spy()",
            "trigger spy on events",
        ),
        ("CREATE RULE lose AS ON INSERT TO event_tags DO INSTEAD NOTHING", "rule lose on event_tags"),
        ("CREATE POLICY hide ON commits USING (false)", "policy hide on commits"),
        ("ALTER TABLE streams ENABLE ROW LEVEL SECURITY", "row security on streams"),
    ] {
        client.batch_execute(make).await.expect("made");
        let findings = examine(&at).await;
        assert!(lines(&findings, "foreign").iter().any(|line| line.severity == Failure), "{make}: {findings:#?}");
        let all = lines(&findings, "foreign")[0].says.clone();
        assert!(all.contains(says) || all.contains("more"), "{says}: {all}");
    }
    client
        .batch_execute("GRANT INSERT ON events TO PUBLIC; GRANT DELETE ON commits TO pacioli_reader; GRANT UPDATE (type) ON events TO pacioli_reader")
        .await
        .expect("granted");
    let findings = examine(&at).await;
    assert_found(&findings, "grants", Warning, "INSERT on events to PUBLIC");
    assert_found(&findings, "grants", Warning, "DELETE on commits to pacioli_reader");
    assert_found(&findings, "grants", Warning, "UPDATE on events to pacioli_reader");
}

#[tokio::test]
async fn room_that_runs_out_and_another_database_are_told() {
    let url = pacioli_pgtest::database_url("doctor_room");
    let at = location(&url);
    append(&url, PostgresOptions { chunk_events: 4, ..options() }, 9).await;
    let client = connect(&url).await;
    client.batch_execute("UPDATE chunks SET frozen_at = NULL").await.expect("as if unfrozen");
    assert_found(&examine(&at).await, "frozen", Warning, "2 full chunks");
    client.batch_execute("DELETE FROM chunks WHERE chunk > 3").await.expect("fewer");
    assert_found(&examine(&at).await, "chunks", Warning, "1 made beyond");
    client.batch_execute("DELETE FROM chunks WHERE chunk > 2").await.expect("fewer");
    assert_found(&examine(&at).await, "chunks", Failure, "0 made beyond");
    client.batch_execute("UPDATE periods SET ends_at = clock_timestamp() + interval '1 hour'").await.expect("shorter");
    assert_found(&examine(&at).await, "periods", Warning, "60 min");
    client
        .batch_execute("UPDATE periods SET ends_at = begins_at + interval '1 us' WHERE false; DELETE FROM periods")
        .await
        .expect("none");
    assert_found(&examine(&at).await, "periods", Failure, "has ended");

    client
        .batch_execute("INSERT INTO epochs (epoch, heads, system_id, timeline) SELECT 2, heads, system_id, timeline + 7 FROM epochs")
        .await
        .expect("an epoch");
    assert_found(&examine(&at).await, "epoch", Warning, "another timeline");
    client
        .batch_execute("INSERT INTO epochs (epoch, heads, system_id, timeline) VALUES (3, '{0}', 1, 1)")
        .await
        .expect("an epoch");
    assert_found(&examine(&at).await, "epoch", Warning, "another database");
}

#[tokio::test]
async fn after_a_dump_into_the_same_cluster_the_documented_statement_begins_an_epoch() {
    let url = store("doctor_dump").await;
    append(&url, options(), 5).await;
    let page = include_str!("../../../docs/operating/postgres.md");
    let (_, rest) = page.split_once("```sql\nINSERT INTO pacioli.epochs").expect("the statement is in the page");
    let (statement, _) = rest.split_once("```").expect("it ends");
    connect(&url).await.batch_execute(&format!("INSERT INTO pacioli.epochs{statement}")).await.expect("an epoch");
    assert_found(&examine(&location(&url)).await, "epoch", Warning, "another database");
    let store = open(&url, options()).await.expect("a store");
    assert_eq!(store.head().await.expect("a head").to_string(), "0:5@3");
}

#[tokio::test]
async fn sessions_that_keep_the_store_waiting_are_named() {
    let url = store("doctor_sessions").await;
    let at = location(&url);
    let thresholds = Thresholds {
        transaction: Duration::from_millis(100),
        head: Duration::from_millis(100),
        ..Thresholds::default()
    };
    let holder = connect(&url).await;
    holder.batch_execute("BEGIN; SELECT FROM heads WHERE part = 0 FOR NO KEY UPDATE").await.expect("held");
    let pid: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).await.expect("a pid").get(0);
    let waiter = connect(&url).await;
    let waiting = tokio::spawn(async move {
        waiter.batch_execute("BEGIN; SELECT FROM heads WHERE part = 0 FOR NO KEY UPDATE; COMMIT").await
    });
    tokio::time::sleep(Duration::from_millis(400)).await;
    let findings = examine_with(&at, &thresholds).await;
    assert_found(&findings, "heads", Failure, &format!("pid {pid} "));
    assert_found(&findings, "heads", Warning, &format!("for pid {pid}"));
    assert_found(&findings, "transactions", Warning, &format!("pid {pid} "));
    holder.batch_execute("COMMIT").await.expect("let go");
    waiting.await.expect("no panic").expect("it got the lock");
    assert_found(&examine_with(&at, &thresholds).await, "heads", Fine, "nobody");
    // A minute is not over in this test, whatever the others in this cluster do.
    assert_found(&examine(&at).await, "transactions", Fine, "longer than 60 s");
}

#[tokio::test]
async fn slots_that_cost_and_prepared_transactions_are_named() {
    let settings = [
        ("max_prepared_transactions", "2"),
        ("max_slot_wal_keep_size", "1MB"),
        ("max_replication_slots", "3"),
        ("max_wal_size", "32MB"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::start(ClusterOptions { settings, ..ClusterOptions::default() }).expect("a cluster");
    let url = cluster.url("postgres");
    cluster.sql("postgres", "SELECT pg_create_physical_replication_slot('forgotten', true)").expect("a slot");
    cluster.sql("postgres", "SELECT pg_create_physical_replication_slot('unused')").expect("a slot");
    cluster.sql("postgres", "BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'half'").expect("prepared");
    let thresholds = Thresholds { retained: 0, ..Thresholds::default() };
    cluster.sql("postgres", "SELECT pg_logical_emit_message(false, 'x', 'y')").expect("something written");
    let findings = examine_with(&location(&url), &thresholds).await;
    assert_found(&findings, "slots", Warning, "2 of 3 slots");
    assert_found(&findings, "slot", Warning, "forgotten");
    assert_found(&findings, "slot", Fine, "unused");
    assert_found(&findings, "prepared", Warning, "half");
    for _ in 0..3 {
        cluster
            .sql("postgres", "SELECT pg_logical_emit_message(false, 'x', 'y'); SELECT pg_switch_wal()")
            .expect("switched");
    }
    cluster.sql("postgres", "CHECKPOINT").expect("a checkpoint");
    assert_found(&examine(&location(&url)).await, "slot", Warning, "it is lost");
}

/// Needs pg_basebackup, which not every installation has.
mod system_only {
    use super::*;
    use pacioli_core::Checkpoint;
    use pacioli_pgtest::StandbyOptions;
    use pacioli_postgres::doctor::examine_standby_with;

    fn lenient() -> Thresholds {
        Thresholds { replay: Duration::from_secs(20), ..Thresholds::default() }
    }

    async fn head(url: &str) -> Checkpoint {
        open(url, options()).await.expect("a store").head().await.expect("a head")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_verdict_before_a_switch_says_what_would_be_lost() {
        let primary = Cluster::start(ClusterOptions::default()).expect("a primary");
        primary.sql("postgres", "CREATE DATABASE shop").expect("a database");
        let url = primary.url("shop");
        append(&url, options(), 5).await;
        let standby = primary.standby(StandbyOptions::default()).expect("a standby");
        standby.catch_up_with(&primary).expect("caught up");
        let (here, there) = (location(&url), location(&standby.url("shop")));

        let findings = examine_standby_with(&here, &there, &lenient()).await;
        assert_found(&findings, "identity", Fine, "a standby of that primary");
        assert_found(&findings, "streaming", Fine, "standby is streaming");
        assert_found(&findings, "synchronous", Warning, "async");
        assert_found(&findings, "loss", Fine, "");
        assert_found(&findings, "rewind", Fine, "can be rewound");
        assert_found(&findings, "fsync", Failure, "off on the standby");
        assert_found(&findings, "wal_level", Fine, "logical on both");
        assert_found(&examine(&there).await, "recovery", Failure, "a standby");

        // The wrong way round, and no standby at all.
        assert_found(&examine_standby_with(&there, &here, &lenient()).await, "identity", Failure, "a standby itself");
        assert_found(&examine_standby_with(&here, &here, &lenient()).await, "identity", Failure, "no standby");
        let nowhere = location("postgres://app@127.0.0.1:1/shop?connect_timeout=2");
        assert_found(&examine_standby_with(&here, &nowhere, &lenient()).await, "standby", Failure, "cannot be reached");

        primary.configure(&[("synchronous_standby_names", "standby")]).expect("configured");
        primary.reload().expect("reloaded");
        let became = async {
            while lines(&examine_standby_with(&here, &there, &lenient()).await, "synchronous")[0].severity != Fine {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), became).await.expect("the standby becomes synchronous");
        primary.configure(&[("synchronous_standby_names", "")]).expect("configured");
        primary.reload().expect("reloaded");

        // Cut off, the standby falls behind by exactly what is said.
        standby.configure(&[("primary_conninfo", "host=/nowhere")]).expect("configured");
        standby.reload().expect("reloaded");
        let stopped = async {
            while standby.sql_value("postgres", "SELECT count(*) FROM pg_stat_wal_receiver").expect("a count") != "0" {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), stopped).await.expect("the receiver stops");
        let client = connect(&url).await;
        let sql = "BEGIN; INSERT INTO commits VALUES (0, 6, 12, clock_timestamp()); COMMIT";
        client.batch_execute(sql).await.expect("seven more");
        let findings = examine_standby_with(&here, &there, &lenient()).await;
        assert_found(&findings, "streaming", Failure, "receives nothing");
        assert_found(&findings, "loss", Warning, "7 events would be lost: 7 in partition 0");
        drop(client);
        primary.kill().expect("killed");
        standby.promote().expect("promoted");
        assert_eq!(head(&standby.url("shop")).await.to_string(), "0:5@2", "as it was said");
    }
}
