//! The login that queries run as.

use std::time::Duration;

use pacioli_core::store::EventStore;
use pacioli_core::{Append, AppendOutcome, EventId, EventType, ExpectedVersion, NewEvent, StreamName};
use pacioli_pgtest::{Cluster, ClusterOptions};
use pacioli_postgres::models::query::SqlReader;
use pacioli_postgres::{Location, PostgresModels, migrate};
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{Lookup, Moment, Query, QueryError, QueryLimits};
use pacioli_projection::file::Name;
use pacioli_projection::{Engine, Projection};
use uuid::Uuid;

use super::world::{Mode, World, connect, limits};
use crate::support::{location, open, options};

#[tokio::test]
async fn a_password_is_used_and_never_told() {
    let cluster = Cluster::start(ClusterOptions { tcp: true, ..ClusterOptions::default() }).expect("a cluster");
    let world = World::in_cluster(&cluster, "passwords", Mode::Superuser).await;
    cluster.sql("postgres", "CREATE ROLE analyst LOGIN PASSWORD 'p&ss:w?rd' IN ROLE pacioli_reader").expect("a login");
    cluster
        .write_file(
            "pg_hba.conf",
            "local all postgres trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
        )
        .expect("written");
    cluster.reload().expect("read");
    let url = cluster.tcp_url(world.location.database()).expect("a port");
    let ask = async |reader: &str| {
        let location: Location = format!("{url}?reader={reader}").parse().expect("a location");
        assert!(!format!("{location:?}").contains("ss:w"));
        SqlReader::new(&location, 1).expect("a reader").query("SELECT count(*) FROM balances", &[], limits()).await
    };
    assert!(ask("analyst:p%26ss%3Aw%3Frd").await.is_ok());
    for wrong in ["analyst:p%26ss%3Aw%3Frong", "analyst"] {
        let Err(QueryError::Store(error)) = ask(wrong).await else { panic!("{wrong} is let in") };
        assert!(!error.reason.contains("ss:w"), "{error}");
    }
    let second: Location = url.replacen("postgres@", "analyst:p%26ss%3Aw%3Frd@", 1).parse().expect("a location");
    let location = world.location.clone().with_reader(second).expect("a reader");
    let reader = SqlReader::new(&location, 1).expect("a reader");
    assert!(reader.query("SELECT count(*) FROM balances", &[], limits()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_and_their_cancels_go_by_tls() {
    let cluster = Cluster::start(ClusterOptions { tcp: true, ..ClusterOptions::default() }).expect("a cluster");
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    cluster.write_file("server.crt", &issued.cert.pem()).expect("written");
    cluster.write_file("server.key", &issued.signing_key.serialize_pem()).expect("written");
    cluster.configure(&[("ssl", "on")]).expect("configured");
    cluster.reload().expect("read");
    let world = World::in_cluster(&cluster, "tls", Mode::Superuser).await;
    let root = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(root.path(), issued.cert.pem()).expect("written");
    // Nothing gets in without.
    cluster.write_file("pg_hba.conf", "local all all trust\nhostssl all all 127.0.0.1/32 trust\n").expect("written");
    cluster.reload().expect("read");
    let url = cluster.tcp_url(world.location.database()).expect("a port");
    let safe: Location =
        format!("{url}?sslmode=verify-full&sslrootcert={}", root.path().display()).parse().expect("a location");
    let reader = SqlReader::new(&safe, 2).expect("a reader");
    assert!(reader.query("SELECT count(*) FROM balances", &[], limits()).await.is_ok());
    let forever = reader.query("SELECT count(*) FROM generate_series(1, 1000000000000)", &[], limits());
    assert!(tokio::time::timeout(Duration::from_millis(200), forever).await.is_err());
    let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%1000000000000%' AND state = 'active' AND pid <> pg_backend_pid()";
    let began = std::time::Instant::now();
    while world.admin.query_one(running, &[]).await.expect("an answer").get::<_, i64>(0) > 0 {
        assert!(began.elapsed() < Duration::from_secs(1), "the cancel does not come");
    }
}

const TOTALS: &str = "-- projection: totals
-- version: 1
-- category: account

CREATE TABLE totals (account TEXT PRIMARY KEY, amount BIGINT NOT NULL, events BIGINT NOT NULL);

-- on: MoneyDeposited
INSERT INTO totals (account, amount, events) VALUES (:stream, :data.amount, 1)
ON CONFLICT (account) DO UPDATE SET amount = totals.amount + excluded.amount, events = totals.events + 1;
";

#[tokio::test(flavor = "multi_thread")]
async fn the_reader_reads_what_serves_and_what_was() {
    let url = pacioli_pgtest::database_url("reader_models");
    migrate::init(&location(&url), None).await.expect("a store");
    let store = open(&url, options()).await.expect("an open store");
    let admin = connect(&url).await;
    admin.batch_execute("CREATE ROLE models_analyst LOGIN IN ROLE pacioli_reader").await.expect("a login");
    let reader = location(&url.replacen("postgres@", "models_analyst@", 1));
    let models = PostgresModels::open(&store, None, Some(reader)).await.expect("read models");
    for number in 1..=6_u128 {
        append_deposit(&store, &format!("account-{}", number % 2), number).await;
    }
    let projection = Projection::parse("totals.sql", TOTALS).expect("a projection");
    models.begin(&projection, 1).await.expect("a build");

    let ask = async |sql: &str, as_of: Option<Moment>| {
        let query = Query { sql: sql.to_owned(), as_of, limits: QueryLimits::default() };
        models.query(query).await.map(|answer| answer.rows)
    };
    let names = models.named_by("SELECT * FROM totals, events").await.expect("names");
    assert_eq!(names, [Name::new("totals").expect("a name")]);
    assert_eq!(ask("SELECT count(*) FROM totals", None).await.expect("nothing yet"), vec![vec![Value::Int(0)]]);
    assert_eq!(ask("SELECT count(*) FROM events", None).await.expect("the log"), vec![vec![Value::Int(6)]]);
    let then = Some(Moment::At("0:4".parse().expect("a checkpoint")));
    let was = ask("SELECT t.*, (SELECT count(*) FROM events) FROM totals t ORDER BY 1", then.clone())
        .await
        .expect("the past");
    let row =
        |account: &str, amount| vec![Value::Text(account.to_owned()), Value::Int(amount), Value::Int(2), Value::Int(4)];
    assert_eq!(was, vec![row("account-0", 600), row("account-1", 400)]);
    // With a schema it would be the present.
    let refused = ask("SELECT * FROM pacioli_read.totals", then).await.expect_err("no schema leads out of the past");
    assert!(matches!(&refused, QueryError::Refused(_)), "{refused:?}");
    let lookup = Lookup { table: "totals".to_owned(), equals: Vec::new(), order: None, limit: 10 };
    assert_eq!(models.lookup(lookup, QueryLimits::default()).await.expect("an answer").rows.len(), 0);
}

async fn append_deposit(store: &dyn EventStore, stream: &str, number: u128) {
    let kind = EventType::new("MoneyDeposited").expect("a name");
    let data = format!("{{\"amount\":{}}}", number * 100);
    let event = NewEvent::json(EventId(Uuid::from_u128(number)), kind, data.into_bytes());
    let append = Append::to(StreamName::new(stream).expect("a name"), ExpectedVersion::Any, vec![event]);
    assert!(matches!(store.append(append).await.expect("an answer"), AppendOutcome::Appended(_)));
}
