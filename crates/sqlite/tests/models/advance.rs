//! Rows and progress move together, from where they stood and nowhere else.

use pacioli_core::{Append, EventId, EventStore, EventType, ExpectedVersion, Metadata, NewEvent, Payload};
use pacioli_core::{Partition, Place, Position, Tag, Tags, Timestamp};
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{AdvanceError, Engine, EngineError, Failed, Role, State};
use pacioli_sqlite::{SqliteModels, SqliteOptions, SqliteStore};
use uuid::Uuid;

use super::support::{
    BALANCES, TOTALS, balances, build, deposit, folded, folded_rows, models, moved, name, projection, rows, step, text,
    to_head,
};
use crate::support::{append, open, stream};

#[tokio::test(flavor = "multi_thread")]
async fn rows_equal_an_independent_fold_by_event_and_by_set() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 1_000, 7).await;
    let models = models(&store);
    for text in [BALANCES, TOTALS] {
        models.begin(&projection(text), 1).await.expect("a build");
    }
    to_head(&models, "balances", Role::Serving, 300).await.expect("advances");
    to_head(&models, "totals", Role::Serving, 300).await.expect("advances");

    let expected = folded(&store, |_| Position::MAX).await;
    assert_eq!(balances(&models).await, folded_rows(&expected));
    let totals =
        rows(&models, "SELECT sum(events), sum(CASE type WHEN 'Deposited' THEN cents ELSE -cents END) FROM totals")
            .await;
    let all = |of: fn(&(i64, i64, String)) -> i64| Value::Int(expected.values().map(of).sum());
    assert_eq!(totals, [vec![all(|account| account.1), all(|account| account.0)]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_advance_from_elsewhere_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 60, 3).await;
    let models = models(&store);
    let stale = models.begin(&projection(BALANCES), 1).await.expect("a build");
    assert!(step(&models, &stale, 0, 10).await.expect("it advances"));
    let again = step(&models, &stale, 0, 10).await;
    assert!(matches!(again, Err(AdvanceError::Moved)), "{again:?}");
    let now = build(&models, "balances", Role::Serving).await;
    assert_eq!(now.progress[0].position, Position(10));
    assert_eq!(now.progress[0].partition, Partition(0));
    assert_eq!(now.progress[0].events, 10);
    models.drop_build(&name("balances"), now.number).await.expect("it is dropped");
    assert!(matches!(step(&models, &now, 0, 10).await, Err(AdvanceError::Moved)), "a build that is gone");
}

/// Whatever is tried in whatever portions, with statements that fail on the way and the process starting anew: rows are those
/// of an independent fold at the build's own checkpoint.
#[tokio::test(flavor = "multi_thread")]
async fn rows_equal_the_fold_at_every_checkpoint_whatever_fails_on_the_way() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = || SqliteOptions { partitions: Some(3), ..SqliteOptions::default() };
    let mut random = Random(1494);
    let mut opened = Some(SqliteStore::open(directory.path(), options()).expect("a store"));
    {
        let store = opened.as_ref().expect("it is open");
        models(store).begin(&projection(BALANCES), 1).await.expect("a build");
    }
    let (mut next_id, mut failures, mut skipped) = (1, 0, 0);
    for round in 0..20 {
        let store = opened.take().expect("it is open");
        deposit(&store, next_id, 60, 5).await;
        next_id += 60;
        if round % 3 == 0 {
            // More than there can be: the table's CHECK refuses it.
            let account = format!("account-{}", round % 5);
            append(&store, &account, vec![moved(1 << 90 | round as u128, "Withdrawn", 1 << 40)]).await;
        }
        let models = models(&store);
        for _ in 0..12 {
            let build = build(&models, "balances", Role::Serving).await;
            let partition = random.below(3) as u16;
            match step(&models, &build, partition, 1 + random.below(40) as usize).await {
                Ok(_) => {}
                Err(AdvanceError::Event { place: Some(place), error }) => {
                    failures += 1;
                    assert!(error.contains("test.sql:18: CHECK constraint failed"), "{error}");
                    let now = super::support::build(&models, "balances", Role::Serving).await;
                    assert_eq!(now.progress, build.progress, "nothing moved");
                    if random.below(2) == 0 {
                        skipped += u64::from(pass_over(&models, place).await);
                    }
                }
                Err(error) => panic!("{error}"),
            }
            check_against_fold(&store, &models).await;
        }
        drop(models);
        drop(store);
        opened = Some(SqliteStore::open(directory.path(), options()).expect("the store opens again"));
    }
    assert!(failures > 10 && skipped > 3, "{failures} failures, {skipped} skipped: the test tries too little");
}

/// Brings the build to the event that it fails on, and passes over it.
async fn pass_over(models: &SqliteModels, place: Place) -> bool {
    loop {
        let build = build(models, "balances", Role::Serving).await;
        match step(models, &build, place.partition.0, 1).await {
            Ok(true) => {}
            Err(AdvanceError::Event { .. }) => break,
            other => panic!("{other:?}"),
        }
    }
    let number = build(models, "balances", Role::Serving).await.number;
    let failed = Failed { place, error: "it fails".to_owned(), at: Timestamp::from_micros(7) };
    models.set_state(&name("balances"), number, State::Failed(failed.clone())).await.expect("it is noted");
    assert_eq!(build(models, "balances", Role::Serving).await.state, State::Failed(failed));
    models.skip(&name("balances"), number, place).await.expect("it is passed over");
    assert_eq!(build(models, "balances", Role::Serving).await.state, State::Running);
    true
}

async fn check_against_fold(store: &SqliteStore, models: &SqliteModels) {
    let build = build(models, "balances", Role::Serving).await;
    let stands = |partition: Partition| {
        build.progress.iter().find(|stands| stands.partition == partition).expect("it stands there").position
    };
    let mut expected = folded(store, stands).await;
    // Withdrawals beyond what there is were passed over, or are yet to come: they are in no row.
    for event in crate::support::whole_log(store, pacioli_core::Filter::default()).await {
        let is_poison = event.id.0.as_u128() >> 90 == 1;
        if is_poison && event.position <= stands(event.partition) {
            let account = expected.get_mut(event.stream.as_str()).expect("an account");
            account.0 += 1 << 40;
            account.1 -= 1;
        }
    }
    let found: Vec<Vec<Value>> =
        rows(models, "SELECT account, cents, moves FROM balances ORDER BY account").await.into_iter().collect();
    let expected: Vec<Vec<Value>> = expected
        .iter()
        .filter(|(_, account)| account.1 > 0)
        .map(|(name, (cents, moves, _))| vec![text(name), Value::Int(*cents), Value::Int(*moves)])
        .collect();
    assert_eq!(found, expected);
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_fails_on_a_set_names_the_event_once_it_is_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 20, 2).await;
    let poison = append(&store, "account-0", vec![moved(1 << 90, "Deposited", -1_000_000)]).await.checkpoint;
    deposit(&store, 100, 20, 2).await;
    let models = models(&store);
    let text = TOTALS.replace("cents BIGINT NOT NULL)", "cents BIGINT NOT NULL CHECK (cents >= 0))");
    models.begin(&projection(&text), 1).await.expect("a build");
    let all = to_head(&models, "totals", Role::Serving, 1_000).await;
    let Err(AdvanceError::Event { place: None, error }) = all else { panic!("{all:?}") };
    assert!(error.contains("test.sql:8: CHECK constraint failed: cents >= 0"), "{error}");
    let alone = to_head(&models, "totals", Role::Serving, 1).await;
    let Err(AdvanceError::Event { place: Some(place), .. }) = alone else { panic!("{alone:?}") };
    assert_eq!(place.position, poison.position(Partition::ZERO));
    let stands = build(&models, "totals", Role::Serving).await.progress[0].position;
    assert_eq!(stands.next(), place.position, "everything before it is in the tables");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_event_it_failed_on_is_skipped() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 10, 2).await;
    append(&store, "other-1", vec![moved(1 << 80, "Deposited", 1)]).await;
    append(&store, "account-0", vec![moved(1 << 90, "Withdrawn", 1 << 40)]).await;
    let models = models(&store);
    let begun = models.begin(&projection(BALANCES), 1).await.expect("a build");
    let (balances, number) = (name("balances"), begun.number);
    let refused = |outcome: Result<(), EngineError>, said: &str| match outcome {
        Err(EngineError::Refused(why)) => assert!(why.contains(said), "{why}"),
        other => panic!("{other:?}"),
    };
    let poison = Place { partition: Partition::ZERO, position: head(&store).await };
    refused(models.skip(&balances, number, poison).await, "has not failed");
    let failed = |place| State::Failed(Failed { place, error: "no".to_owned(), at: Timestamp::from_micros(1) });
    models.set_state(&balances, number, failed(poison)).await.expect("noted");
    refused(models.skip(&balances, number, poison).await, "is not the next event");
    assert!(to_head(&models, "balances", Role::Serving, 5).await.is_err());
    while step(&models, &build(&models, "balances", Role::Serving).await, 0, 1).await.is_ok() {}
    let before = Place { position: Position(poison.position.0 - 1), ..poison };
    refused(models.skip(&balances, number, before).await, "stopped at");
    models.skip(&balances, number, poison).await.expect("it is passed over");
    models.skip(&balances, number, poison).await.expect_err("and is not failed any more");
    drop((models, store));
    let store = open(directory.path());
    let models = super::support::models(&store);
    assert!(!step(&models, &build(&models, "balances", Role::Serving).await, 0, 5).await.expect("it is at the head"));
}

async fn head(store: &SqliteStore) -> Position {
    store.head().await.expect("the head").position(Partition::ZERO)
}

#[tokio::test(flavor = "multi_thread")]
async fn named_values_are_bound_as_what_they_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let data = r#"{"n":12,"big":18446744073709551615,"low":-9223372036854775808,"real":12.50,"tiny":1e-3,"e":1E400,"t":"a\"b\u00e9","plain":"x",
        "yes":true,"no":false,"nil":null,"o":{"a": [1, {"b":"deep"}]},"odd name":1,"empty":""}"#;
    let event = NewEvent {
        metadata: Metadata { actor: Some("ann".into()), ..Metadata::default() },
        tags: Tags::new([Tag::new("red").expect("a tag"), Tag::new("blue").expect("a tag")]).expect("tags"),
        occurred_at: Some(Timestamp::from_micros(1_317_429_524_546_000)),
        schema_version: Some(3),
        ..NewEvent::json(EventId(Uuid::from_u128(0xABCD)), EventType::new("Seen").expect("a type"), data)
    };
    let binary = NewEvent {
        data: Payload::Binary(vec![0, 255].into()),
        ..NewEvent::json(EventId(Uuid::from_u128(2)), EventType::new("Seen").expect("a type"), "{}")
    };
    append(&store, "thing-7-eu", vec![event, binary]).await;
    let values = [
        (":stream", text("thing-7-eu")),
        (":category", text("thing")),
        (":key", text("7-eu")),
        (":type", text("Seen")),
        (":version", Value::Int(0)),
        (":partition", Value::Int(0)),
        (":position", Value::Int(1)),
        (":schema_version", Value::Int(3)),
        (":id", text("00000000-0000-0000-0000-00000000abcd")),
        (":occurred_at", text("2011-10-01T00:38:44.546000Z")),
        (":actor", text("ann")),
        (":data.n", Value::Int(12)),
        (":data.big", text("18446744073709551615")),
        (":data.low", Value::Int(i64::MIN)),
        (":data.real", Value::Float(12.5)),
        (":data.tiny", Value::Float(0.001)),
        (":data.e", text("1E400")),
        (":data.t", text("a\"bé")),
        (":data.plain", text("x")),
        (":data.yes", Value::Int(1)),
        (":data.no", Value::Int(0)),
        (":data.nil", Value::Null),
        (":data.absent", Value::Null),
        (":data.n.deeper", Value::Null),
        (":data.o", text("{\"a\": [1, {\"b\":\"deep\"}]}")),
        (":data.o.a", text("[1, {\"b\":\"deep\"}]")),
        (":data.o.a[1].b", text("deep")),
        (":data.o.a[7]", Value::Null),
        (":data.\"odd name\"", Value::Int(1)),
        (":data.empty", text("")),
    ];
    let inserts: String = values
        .iter()
        .enumerate()
        .map(|(at, (value, _))| format!("INSERT INTO seen VALUES ({at}, :version, {value});\n"))
        .collect();
    let text_of = format!(
        "-- projection: seen\n-- version: 1\n-- category: thing\nCREATE TABLE seen (at BIGINT, version BIGINT, value);\n\
         CREATE TABLE whole (version BIGINT, data TEXT, metadata TEXT, recorded_at TEXT);\n-- on: Seen\n{inserts}\
         INSERT INTO whole VALUES (:version, :data, :metadata, :recorded_at);\n"
    );
    let models = models(&store);
    models.begin(&projection(&text_of), 1).await.expect("a build");
    to_head(&models, "seen", Role::Serving, 10).await.expect("advances");
    let seen = rows(&models, "SELECT value FROM seen WHERE version = 0 ORDER BY at").await;
    for ((value, expected), found) in values.iter().zip(&seen) {
        assert_eq!(&found[0], expected, "{value}");
    }
    let whole =
        rows(&models, "SELECT data, json_extract(metadata, '$.actor'), recorded_at FROM whole WHERE version = 0").await;
    assert_eq!(whole[0][..2], [text(data), text("ann")]);
    let recorded = rows(&models, "SELECT recorded_at FROM events WHERE version = 0").await;
    assert_eq!(whole[0][2], recorded[0][0]);
    let of_binary =
        rows(&models, "SELECT count(*) FROM seen WHERE version = 1 AND at > 10 AND value IS NOT NULL").await;
    assert_eq!(of_binary, [[Value::Int(0)]], "binary data leads nowhere");
    assert_eq!(rows(&models, "SELECT data, metadata FROM whole WHERE version = 1").await, [[Value::Null, Value::Null]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relation_batch_has_the_values_of_events() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    deposit(&store, 1, 30, 3).await;
    let columns = "partition, position, stream, category, key, version, type, schema_version, id, data, metadata, tags, \
        occurred_at, recorded_at";
    let text_of = format!(
        "-- projection: mirror\n-- version: 1\n-- category: account\nCREATE TABLE mirror ({});\n-- on batch:\nINSERT INTO \
         mirror SELECT {columns}, actor FROM batch;\n",
        format!("{columns}, actor").replace("key", "\"key\"")
    );
    let models = models(&store);
    models.begin(&projection(&text_of), 1).await.expect("a build");
    to_head(&models, "mirror", Role::Serving, 7).await.expect("advances");
    let columns = columns.replace("key", "\"key\"").replace("data, metadata", "json(data), json(metadata)");
    let both = |from: &str| format!("SELECT {columns} FROM {from} ORDER BY position");
    assert_eq!(rows(&models, &both("mirror")).await, rows(&models, &both("events")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_the_system_go_to_those_who_name_them_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    append(&store, "account-1", vec![moved(1, "Deposited", 5)]).await;
    append(&store, "$projection-x", vec![moved(2, "ProjectionPaused", 5)]).await;
    let models = models(&store);
    for (of, header) in
        [("everything", ""), ("system", "-- category: $projection\n"), ("paused", "-- types: ProjectionPaused\n")]
    {
        let text = format!(
            "-- projection: {of}\n-- version: 1\n{header}CREATE TABLE of_{of} (stream TEXT);\n-- on: *\nINSERT INTO of_{of} VALUES (:stream);\n"
        );
        models.begin(&projection(&text), 1).await.expect("a build");
        to_head(&models, of, Role::Serving, 10).await.expect("advances");
        let expected = if of == "everything" { "account-1" } else { "$projection-x" };
        assert_eq!(rows(&models, &format!("SELECT stream FROM of_{of}")).await, [[text_of(expected)]], "{of}");
    }
}

fn text_of(value: &str) -> Value {
    text(value)
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_run_by_event_in_the_order_of_the_file_and_then_by_set() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let events = ["A", "B", "A"].iter().enumerate().map(|(at, kind)| moved(1 + at as u128, kind, 1)).collect();
    store.append(Append::to(stream("account-1"), ExpectedVersion::Any, events)).await.expect("appended");
    let text_of = "-- projection: steps\n-- version: 1\n-- category: account\nCREATE TABLE steps (step INTEGER PRIMARY KEY, what TEXT);\n\
        -- on: *\nINSERT INTO steps (what) VALUES ('first ' || :type);\n-- on batch:\nINSERT INTO steps (what) SELECT 'set of ' || count(*) FROM batch;\n\
        -- on: A\nINSERT INTO steps (what) VALUES ('then ' || :type);\n-- on: A, B\nINSERT INTO steps (what) VALUES ('last ' || :type);\n";
    let models = models(&store);
    models.begin(&projection(text_of), 1).await.expect("a build");
    to_head(&models, "steps", Role::Serving, 2).await.expect("advances");
    let steps: Vec<Value> = rows(&models, "SELECT what FROM steps ORDER BY step").await.into_iter().flatten().collect();
    let expected =
        ["first A", "then A", "last A", "first B", "last B", "set of 2", "first A", "then A", "last A", "set of 1"];
    assert_eq!(steps, expected.map(text));
}
