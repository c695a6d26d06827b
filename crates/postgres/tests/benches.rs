//! Raw COPY stores the rows that it is said to store, and a benchmark leaves nothing behind.

use pacioli_core::event::Payload;
use pacioli_core::{
    Append, AppendOutcome, EventId, EventStore, EventType, ExpectedVersion, NewEvent, Position, StreamName, Tag, Tags,
    Timestamp, Version,
};
use pacioli_postgres::PostgresStore;
use pacioli_postgres::baseline::RawCopy;
use pacioli_postgres::bench::{disk_parts, drop_store};

use crate::support::{location, options};

fn event(n: u128) -> NewEvent {
    NewEvent::json(EventId(uuid::Uuid::from_u128(n)), EventType::new("Made").expect("a type"), r#"{"n":1}"#)
}

async fn database(label: &'static str) -> (String, String) {
    let make = || {
        let cluster = pacioli_pgtest::shared();
        let name = cluster.create_database(label).expect("a database");
        let url = cluster.url(&name);
        (name, url)
    };
    tokio::task::spawn_blocking(make).await.expect("no panic")
}

async fn value(database: &str, sql: &'static str) -> String {
    let database = database.to_owned();
    let ask = move || pacioli_pgtest::shared().sql_value(&database, sql).expect("an answer");
    tokio::task::spawn_blocking(ask).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_copy_stores_every_column_and_knows_versions_and_positions() {
    let (name, url) = database("raw_copy").await;
    let copy = RawCopy::open(&location(&format!("{url}&schema=bench_raw"))).await.expect("the table is made");
    let stream = || StreamName::new("a-1").expect("a name");
    let append = async |events: Vec<NewEvent>| {
        let outcome = copy.append(Append::to(stream(), ExpectedVersion::Any, events)).await.expect("it is copied");
        let AppendOutcome::Appended(appended) = outcome else { panic!("{outcome:?}") };
        (appended.streams[0].last_version, appended.last_position)
    };
    assert_eq!(append(vec![event(1), event(2)]).await, (Version(1), Position(2)));
    let rich = NewEvent {
        data: Payload::Binary(vec![0, 1, 2].into()),
        tags: Tags::new([Tag::new("seat:7").expect("a tag")]).expect("tags"),
        occurred_at: Some(Timestamp::from_micros(1_000_000)),
        ..event(3)
    };
    assert_eq!(append(vec![rich]).await, (Version(2), Position(3)));
    // More than one message of COPY.
    let large = |n| NewEvent { data: Payload::Json(format!(r#"{{"x":"{}"}}"#, "x".repeat(3_000)).into()), ..event(n) };
    assert_eq!(append((4..204).map(large).collect()).await, (Version(202), Position(203)));
    let rows = "SELECT count(*) || ' ' || count(DISTINCT version) || ' ' || max(position) FROM bench_raw.copied";
    assert_eq!(value(&name, rows).await, "203 203 203");
    let row = "SELECT concat_ws(' ', stream, type, version, id, encode(raw, 'hex'), tags, extract(epoch FROM occurred_at)::int,
                                now() - recorded_at < '1 minute') FROM bench_raw.copied WHERE position = 3";
    let expected = "a-1 Made 2 00000000-0000-0000-0000-000000000003 000102 {seat:7} 1 t";
    assert_eq!(value(&name, row).await, expected);
    let json = "SELECT data ->> 'n' FROM bench_raw.copied WHERE position = 2";
    assert_eq!(value(&name, json).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_a_benchmark_is_dropped_with_all_that_was_made_for_it() {
    let (name, url) = database("dropped").await;
    let at = location(&format!("{url}&schema=bench_gone"));
    let store = PostgresStore::open(at.clone(), options()).await.expect("the store opens");
    let append = Append::to(StreamName::new("a-1").expect("a name"), ExpectedVersion::Any, vec![event(1)]);
    store.append(append).await.expect("it is appended");
    let parts = disk_parts(&at).await.expect("sizes");
    assert!(parts.iter().any(|(part, bytes)| part == "events, heap" && *bytes > 0), "{parts:?}");
    assert!(parts.iter().any(|(part, _)| part == "events, index on btree (part, stream, version)"), "{parts:?}");
    drop(store);
    drop_store(&at).await.expect("it is dropped");
    let left = "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'bench%')
                     + (SELECT count(*) FROM pg_publication WHERE pubname LIKE 'bench%')
                     + (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'bench\\_gone%')";
    assert_eq!(value(&name, left).await, "0");
    assert!(drop_store(&location(&url)).await.is_err(), "a schema of somebody else");
}
