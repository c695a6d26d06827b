//! Whether stored events have what handlers ask of them.

use std::sync::Arc;

use pacioli_core::memory::MemoryStore;
use pacioli_core::{
    Append, AppendOutcome, EventId, EventStore, EventType, ExpectedVersion, Limits, NewEvent, Payload, StreamName,
    SystemClock,
};

use pacioli_core::conformance::toy::{self, ToyGate};
use pacioli_core::schemas::{Gate, Generation, Registry};

use crate::file::{EVENTS_LOOKED_AT_MAX, Severity, check_paths};

use super::accepted::{FUNNEL, GAUGE, parsed};

fn store() -> MemoryStore {
    MemoryStore::new(2, Limits::default(), Arc::new(SystemClock::new(|time| Box::pin(tokio::time::sleep(time)))))
}

async fn append(store: &MemoryStore, stream: &str, events: Vec<NewEvent>) {
    let stream = StreamName::new(stream).unwrap();
    let outcome = store.append(Append::to(stream, ExpectedVersion::Any, events)).await.unwrap();
    assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
}

fn event(event_type: &str, data: &str) -> NewEvent {
    let id = EventId(uuid::Uuid::new_v4());
    NewEvent::json(id, EventType::new(event_type).unwrap(), data.to_owned())
}

/// What is found of a file whose handler in line 5 is `on` and whose statement in line 6 uses `values`.
async fn found(store: &MemoryStore, header: &str, on: &str, values: &str) -> Vec<(Severity, u32, String)> {
    let text = format!(
        "-- projection: p\n-- version: 1\n{header}\nCREATE TABLE t (a TEXT, b TEXT);\n-- on: {on}\n\
         INSERT INTO t (a, b) VALUES ({values});"
    );
    let findings = check_paths(&parsed(&text), store, None).await.unwrap();
    findings.into_iter().map(|finding| (finding.severity, finding.line, finding.problem)).collect()
}

#[tokio::test]
async fn paths_that_events_have_are_no_finding() {
    let store = store();
    append(
        &store,
        "account-1",
        vec![event("Opened", r#"{"owner": {"first name": null}, "items": [1, {"sku": "x"}]}"#)],
    )
    .await;
    let values = ":data.owner.\"first name\", :data.items[1].sku";
    assert_eq!(found(&store, "", "Opened", values).await, []);
    assert_eq!(found(&store, "", "*", values).await, []);
    assert_eq!(found(&store, "-- category: account", "Opened", values).await, []);
    assert_eq!(found(&store, "", "Opened", ":data, :metadata").await, []);
    assert_eq!(check_paths(&parsed(FUNNEL), &store, None).await.unwrap(), []);
}

#[tokio::test]
async fn a_path_that_no_event_has_is_an_error_with_what_there_is() {
    let store = store();
    let opened = |n: usize| {
        event("Opened", &format!(r#"{{"amount": {n}, "owner": {{"name": "x", "email": "y"}}, "items": []}}"#))
    };
    append(&store, "account-1", (0..100).map(opened).collect()).await;
    for (values, words) in [
        (
            ":data.amuont, 1",
            "no event of type `Opened` has `:data.amuont` (100 looked at, which are all); did you mean `:data.amount`?",
        ),
        (
            ":data.owner.phone, 1",
            "has `:data.owner.phone` (100 looked at, which are all); there are `:data.owner.email`, `:data.owner.name`",
        ),
        (":data.amount.cents, 1", "has `:data.amount.cents` (100 looked at, which are all)"),
        (":data.items[0], 1", "has `:data.items[0]` (100 looked at, which are all)"),
        (":data[0], 1", "has `:data[0]` (100 looked at, which are all)"),
    ] {
        for on in ["Opened", "*"] {
            let findings = found(&store, "", on, values).await;
            let [(Severity::Error, 6, problem)] = &findings[..] else { panic!("{findings:?}") };
            let words =
                if on == "*" { words.replace("no event of type `Opened`", "no event") } else { words.to_owned() };
            assert!(problem.ends_with(&words), "{problem}\n{words}");
        }
    }
}

#[tokio::test]
async fn an_empty_log_and_a_type_that_is_not_there_are_warnings() {
    let store = store();
    let empty = "no event of type `GaugeRead` is stored yet, so nobody knows whether the name and the paths are right";
    let of_gauge = |findings: Vec<crate::file::Finding>| {
        assert!(findings.iter().all(|finding| finding.severity == Severity::Warning), "{findings:?}");
        findings.into_iter().map(|finding| (finding.line, finding.problem)).collect::<Vec<_>>()
    };
    assert_eq!(of_gauge(check_paths(&parsed(GAUGE), &store, None).await.unwrap()), [(8, empty.to_owned())]);
    append(&store, "account-1", vec![event("Opened", r#"{"x": 1}"#)]).await;
    assert_eq!(of_gauge(check_paths(&parsed(GAUGE), &store, None).await.unwrap()), [(8, empty.to_owned())]);
    let elsewhere = found(&store, "-- category: wallet", "Opened", ":data.y, 1").await;
    assert_eq!((elsewhere.len(), elsewhere[0].0, elsewhere[0].1), (1, Severity::Warning, 5));
    assert!(
        elsewhere[0].2.starts_with("no event of type `Opened` in streams of `wallet` is stored yet"),
        "{elsewhere:?}"
    );
    let every = found(&store, "-- category: wallet", "*", ":data.y, 1").await;
    assert!(every[0].2.starts_with("no event in streams of `wallet` is stored yet"), "{every:?}");
}

#[tokio::test]
async fn of_several_types_one_must_have_the_path() {
    let store = store();
    append(&store, "account-1", vec![event("Opened", r#"{"x": 1}"#), event("Closed", r#"{"y": 1}"#)]).await;
    let some = found(&store, "", "Opened, Closed", ":data.x, :data.y").await;
    let problem = |name: &str, path: &str| {
        format!(
            "no event of type `{name}` has `:data.{path}`, so it is NULL there; other types of this handler have it"
        )
    };
    assert_eq!(some, [(Severity::Warning, 6, problem("Closed", "x")), (Severity::Warning, 6, problem("Opened", "y"))]);
    let none = found(&store, "", "Opened, Closed", ":data.zzzzz, 1").await;
    assert_eq!((none.len(), none[0].0), (1, Severity::Error));
    assert!(none[0].2.starts_with("no event of type `Opened` or `Closed` has `:data.zzzzz`"), "{none:?}");
    // What a type that is not stored yet will have, nobody knows.
    let unknown = found(&store, "", "Opened, Renamed", ":data.name, 1").await;
    assert!(unknown.iter().all(|(severity, ..)| *severity == Severity::Warning) && unknown.len() == 2, "{unknown:?}");
}

#[tokio::test]
async fn a_binary_event_has_no_path_and_the_systems_streams_do_not_count() {
    let store = store();
    let binary = NewEvent { data: Payload::Binary(vec![1, 2].into()), ..event("Photographed", "{}") };
    append(&store, "photo-1", vec![binary]).await;
    let found_binary = found(&store, "", "Photographed", ":data.x, 1").await;
    assert_eq!(found_binary.iter().map(|(severity, ..)| *severity).collect::<Vec<_>>(), [Severity::Error]);
    append(&store, "$projection-p", vec![event("ProjectionPaused", r#"{"x": 1}"#)]).await;
    let every = found(&store, "", "*", ":data.x, 1").await;
    assert_eq!((every.len(), every[0].0), (1, Severity::Error));
    assert_eq!(found(&store, "", "ProjectionPaused", ":data.x, 1").await, []);
}

#[tokio::test]
async fn a_path_that_may_come_later_in_a_long_log_is_a_warning() {
    let store = store();
    for _ in 0..=EVENTS_LOOKED_AT_MAX / 1_000 {
        append(&store, "account-1", (0..1_000).map(|_| event("Opened", r#"{"x": 1}"#)).collect()).await;
    }
    append(&store, "account-2", vec![event("Rare", r#"{"y": 1}"#)]).await;
    let findings = found(&store, "", "Opened", ":data.z, 1").await;
    assert_eq!((findings.len(), findings[0].0, findings[0].1), (1, Severity::Warning, 6));
    assert!(findings[0].2.starts_with("no event of type `Opened` has `:data.z` among the first 20000"), "{findings:?}");
    assert_eq!(found(&store, "", "Rare", ":data.y, 1").await, []);
    let both = found(&store, "", "Opened, Rare", ":data.y, 1").await;
    assert_eq!(both.len(), 1, "{both:?}");
}

#[tokio::test]
async fn paths_are_held_against_events_as_handlers_will_see_them() {
    let store = store();
    append(&store, "order-1", vec![event("Placed", r#"{"amount": 1}"#)]).await;
    let gate = ToyGate::new();
    let schemas =
        vec![toy::schema("Placed", 1, "1.0.0", None), toy::schema("Placed", 2, "2.0.0", Some("amount=>cents"))];
    gate.take(Registry { generation: Generation(1), schemas, settings: Vec::new() }, false);
    let file = |header: &str, path: &str| {
        parsed(&format!(
            "-- projection: p\n-- version: 1\n{header}\nCREATE TABLE t (a TEXT);\n-- on: Placed\n\
             INSERT INTO t (a) VALUES (:data.{path});"
        ))
    };
    for (header, right, wrong) in [("", "cents", "amount"), ("-- schemas: Placed ^1", "amount", "cents")] {
        let found = check_paths(&file(header, right), &store, Some(&gate)).await.unwrap();
        assert_eq!(found, [], "{header}");
        let found = check_paths(&file(header, wrong), &store, Some(&gate)).await.unwrap();
        assert_eq!(found.len(), 1, "{header} {found:?}");
        assert!(found[0].severity == Severity::Error && found[0].problem.contains(wrong), "{found:?}");
    }
    // What it will never see says nothing of its paths.
    let found = check_paths(&file("-- schemas: Placed ^9", "whatever"), &store, Some(&gate)).await.unwrap();
    assert!(found.iter().all(|finding| finding.severity == Severity::Warning) && !found.is_empty(), "{found:?}");
}
