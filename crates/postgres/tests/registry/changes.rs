//! What a change does, who may make one, and what becomes of it when its connection is cut.

use std::time::Duration;

use pacioli_core::conformance::history::Random;
use pacioli_core::schemas::{
    Generation, NamedReader, REGISTRY_STREAM, Registry, RegistryChange, RegistryOutcome, RegistryStore, Setting,
    SettingScope,
};
use pacioli_core::store::Direction;
use pacioli_core::{
    AppendError, AppendOutcome, EventStore, EventType, PayloadChoice, ReadStream, StreamName, Timestamp, Version,
};
use pacioli_pgtest::{Cluster, ClusterOptions};
use pacioli_postgres::{PostgresOptions, PostgresStore, migrate};

use super::world::{change, database, fresh, gated, is_refused, one, schema};
use crate::faults::proxy::{Cut, Proxy};
use crate::faults::world::{blocking, rounds, seed};
use crate::support::{location, open, options};

fn mode(value: Option<&str>) -> Setting {
    Setting { scope: SettingScope::Category("account".into()), name: "mode".into(), value: value.map(Into::into) }
}

async fn records(store: &PostgresStore) -> Vec<(Version, String)> {
    let stream = StreamName::from_storage(REGISTRY_STREAM);
    let read =
        ReadStream { stream, from: None, direction: Direction::Forward, limit: 1_000, payload: PayloadChoice::All };
    match store.read_stream(read).await {
        Ok(page) => page
            .events
            .iter()
            .map(|event| (event.version, String::from_utf8_lossy(event.data.bytes()).into_owned()))
            .collect(),
        Err(pacioli_core::ReadError::StreamNotFound { .. }) => Vec::new(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_change_writes_its_rows_and_its_record_and_is_in_force() {
    let (_, store) = fresh("registry_changes", 4).await;
    assert_eq!(store.registry().await.unwrap(), Registry::default());
    let mut expected = Registry::default();
    let first = change(0, vec![schema("Opened", 1, "owner"), schema("Closed", 1, "why")], vec![mode(Some("warn"))]);
    let outcome = store.change_registry(first.clone()).await.unwrap();
    expected.apply(&first);
    let RegistryOutcome::Changed { generation, checkpoint } = outcome else { panic!("{outcome:?}") };
    assert_eq!(generation, Generation(1));
    assert!(store.head().await.unwrap().covers(&checkpoint), "its record is in the log");
    assert_eq!(store.registry().await.unwrap(), expected);
    assert_eq!(records(&store).await, [(Version(0), "{\"change\": 0}".to_owned())]);

    let outcome = store.change_registry(first.clone()).await.unwrap();
    assert_eq!(outcome, RegistryOutcome::Moved { current: Generation(1) });
    assert!(is_refused(&store.append(one("account-1", "Opened", "name")).await.unwrap()));
    let AppendOutcome::Appended(_) = store.append(one("account-1", "Opened", "owner")).await.unwrap() else { panic!() };

    let removed = vec![(EventType::new("Closed").unwrap(), 1)];
    let second = RegistryChange { removed, ..change(1, vec![schema("Opened", 2, "name")], vec![mode(None)]) };
    store.change_registry(second.clone()).await.unwrap();
    expected.apply(&second);
    assert_eq!(store.registry().await.unwrap(), expected);
    assert_eq!(records(&store).await.len(), 2);
    // The same record again, with what is expected now.
    let again = RegistryChange { expected: Generation(2), ..second };
    let error = store.change_registry(again).await.unwrap_err();
    assert!(matches!(&error, AppendError::Invalid(invalid) if invalid.field == "record"), "{error:?}");
    assert_eq!(store.registry().await.unwrap(), expected, "nothing of it was done");
}

#[tokio::test]
async fn readers_are_noted_over_what_was_known_of_them() {
    let (_, store) = fresh("registry_readers", 1).await;
    let reader = |name: &str, at| NamedReader {
        name: name.into(),
        types: vec![EventType::new("Opened").unwrap()],
        categories: vec!["account".into()],
        understands: vec!["Opened:^1".parse().unwrap()],
        read_at: Timestamp::from_micros(at),
        checkpoint: Some("0:7".parse().unwrap()),
        waits_for: (at > 1).then(|| "Opened 2.0.0".into()),
        live_until: None,
    };
    for noted in [reader("b", 1), reader("a", 1), reader("b", 2)] {
        store.note_reader(noted).await.unwrap();
    }
    assert_eq!(store.named_readers().await.unwrap(), [reader("a", 1), reader("b", 2)]);
    // Until when it is live stays known until somebody says another time.
    let until = |micros| Some(Timestamp::from_micros(micros));
    for (noted, known) in [(until(7), until(7)), (None, until(7)), (until(3), until(3))] {
        store.note_reader(NamedReader { live_until: noted, ..reader("b", 2) }).await.unwrap();
        assert_eq!(store.named_readers().await.unwrap()[1].live_until, known);
    }
    assert!(store.forget_reader("b").await.unwrap());
    assert!(!store.forget_reader("b").await.unwrap());
    assert_eq!(store.named_readers().await.unwrap(), [reader("a", 1)]);
}

#[tokio::test]
async fn who_is_no_owner_may_read_the_registry_and_note_readers_but_change_nothing() {
    let url = database("registry_rights").await;
    migrate::init(&location(&url), None).await.unwrap();
    let owner = open(&url, gated()).await.unwrap();
    owner.change_registry(change(0, vec![schema("Opened", 1, "owner")], vec![])).await.unwrap();
    for role in ["appender", "reader"] {
        let login = format!("registry_{role}_login");
        let create = format!("CREATE ROLE {login} LOGIN IN ROLE pacioli_{role}");
        tokio::task::spawn_blocking(move || pacioli_pgtest::shared().sql("postgres", &create)).await.unwrap().unwrap();
        let url = url.replacen("postgres@", &format!("{login}@"), 1);
        let store = open(&url, PostgresOptions { must_exist: role == "reader", ..gated() }).await.unwrap();
        assert_eq!(store.registry().await.unwrap(), owner.registry().await.unwrap());
        let error = store.change_registry(change(1, vec![schema("Opened", 2, "name")], vec![])).await.unwrap_err();
        let AppendError::Denied { reason } = &error else { panic!("{error:?}") };
        assert!(reason.contains(&login) && reason.contains("GRANT pacioli_owner"), "{reason}");
        let noted = NamedReader {
            name: role.into(),
            types: vec![],
            categories: vec![],
            understands: vec![],
            read_at: Timestamp::from_micros(1),
            checkpoint: None,
            waits_for: None,
            live_until: None,
        };
        store.note_reader(noted.clone()).await.unwrap();
        assert!(store.named_readers().await.unwrap().contains(&noted));
    }
    assert_eq!(owner.registry().await.unwrap().generation, Generation(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_connection_is_cut_around_commit_is_whole_or_not_at_all() {
    let seed = seed();
    let mut random = Random::new(seed);
    let cluster = blocking(|| Cluster::start(ClusterOptions::default()));
    let database = blocking(|| cluster.create_database("registry_cuts"));
    let proxy = Proxy::before(&cluster, seed);
    let options = PostgresOptions { poll_only: true, ..gated() };
    let through = open(&proxy.url(&database), options.clone()).await.expect("the store opens");
    let direct = open(&cluster.url(&database), PostgresOptions { gate: gated().gate, ..options }).await.unwrap();
    let (mut unknown, mut done) = (0, 0);
    for round in 0..rounds(12) {
        let before = direct.registry().await.unwrap().generation;
        let cut = match round % 3 {
            0 => Cut::AfterCommit,
            1 => Cut::BeforeCommit,
            _ => Cut::AfterBytes(1 + random.below(4_000) as u64),
        };
        proxy.cut_next(cut);
        let member = format!("m{round}");
        let asked = change(before.0, vec![schema("Opened", 1, &member)], vec![mode(Some(&member))]);
        let outcome = through.change_registry(asked).await;
        // What a cut left open, the server ends by itself; the next change waits for its locks.
        let settled = direct.change_registry(change(u64::MAX, vec![], vec![])).await.unwrap();
        let RegistryOutcome::Moved { current } = settled else { panic!("{settled:?}") };
        let registry = direct.registry().await.unwrap();
        assert_eq!(registry.generation, current);
        let is_done = current.0 == before.0 + 1;
        assert!(is_done || current == before, "{current} after {before}");
        let has_schema = registry.schemas.iter().any(|schema| *schema.text == *member);
        let has_setting = registry.settings.iter().any(|setting| setting.value.as_deref() == Some(&*member));
        assert_eq!((has_schema, has_setting), (is_done, is_done), "round {round}: all of its rows or none");
        assert_eq!(records(&direct).await.len() as u64, current.0, "round {round}: a record a change");
        done += u64::from(is_done);
        match outcome {
            Ok(RegistryOutcome::Changed { generation, .. }) => assert_eq!(generation, current),
            Ok(RegistryOutcome::Moved { .. }) => panic!("nobody else changes it"),
            Err(AppendError::Unknown { .. }) => unknown += 1,
            Err(error) => assert!(!is_done, "round {round}: done, and told as {error}"),
        }
        let AppendOutcome::Appended(_) = direct
            .append(one("account-1", "Opened", if is_done { &member } else { "m" }))
            .await
            .unwrap_or_else(|error| panic!("{error}"))
        else {
            continue;
        };
    }
    assert!(unknown >= 4 && done >= 2, "cuts hit COMMIT: {unknown} unknown, {done} done");
}

#[tokio::test]
async fn a_lock_that_is_held_is_waited_for_and_then_told() {
    let (url, store) = fresh("registry_locked", 1).await;
    drop(store);
    let options = PostgresOptions { answer_within: Duration::from_millis(300), ..gated() };
    let store = open(&url, options).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; SELECT FROM pacioli.heads FOR UPDATE").await.unwrap();
    let error = store.change_registry(change(0, vec![schema("Opened", 1, "owner")], vec![])).await.unwrap_err();
    assert!(matches!(error, AppendError::Store(_)) && error.to_string().contains("nothing was done"), "{error}");
    client.batch_execute("ROLLBACK").await.unwrap();
    store.change_registry(change(0, vec![schema("Opened", 1, "owner")], vec![])).await.unwrap();
}

#[tokio::test]
async fn a_store_without_a_gate_takes_nothing_once_schemas_are_registered() {
    let (url, store) = fresh("registry_no_gate", 1).await;
    let without = open(&url, options()).await.unwrap();
    let AppendOutcome::Appended(_) = without.append(one("account-1", "Opened", "x")).await.unwrap() else { panic!() };
    store.change_registry(change(0, vec![schema("Opened", 1, "owner")], vec![])).await.unwrap();
    let error = without.append(one("account-1", "Other", "x")).await.unwrap_err();
    assert!(matches!(&error, AppendError::Denied { reason } if reason.contains("schema gate")), "{error:?}");
    let AppendOutcome::Appended(_) = store.append(one("account-1", "Other", "x")).await.unwrap() else { panic!() };
}
