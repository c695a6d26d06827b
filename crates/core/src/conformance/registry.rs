//! The registry of schemas: a change is made once and whole, and what it says holds for every event behind its record.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::client::{Client, appended, conflict, duplicate, event_type, stream};
use super::toy::{self, ToyGate};
use super::trial::{Trial, join};
use super::{Gated, verify};
use crate::append::{Append, AppendOutcome, ExpectedVersion, Refusal, Tracking};
use crate::event::{EventId, NewEvent, Timestamp};
use crate::place::{Checkpoint, Place};
use crate::schemas::{
    Gate, Generation, NamedReader, REGISTRY_STREAM, Registry, RegistryChange, RegistryOutcome, RegistryStore,
};
use crate::store::AppendError;

/// A store with a gate, and what its registry has to be.
struct Registered {
    client: Client,
    registry: Arc<dyn RegistryStore>,
    gate: ToyGate,
    expected: Registry,
}

impl Registered {
    /// A fresh one; `None` where the subject keeps no registry.
    async fn begin(trial: &Trial<'_>) -> Option<Registered> {
        let gate = ToyGate::new();
        let gated = trial.subject.fresh_with_gate(trial.partitions, Arc::new(gate.clone())).await?;
        let client = trial.client_of(gated.store);
        Some(Registered { client, registry: gated.registry, gate, expected: Registry::default() })
    }

    /// A change of what the registry is now, with one event that records it.
    fn change(&self) -> RegistryChange {
        let record = vec![self.client.event("SchemaRegistered")];
        RegistryChange { expected: self.expected.generation, record, ..RegistryChange::default() }
    }

    /// Makes a change that must be made. Says where its record ends.
    async fn make(&mut self, change: RegistryChange) -> Checkpoint {
        let (generation, checkpoint) = changed(change_now(&*self.registry, change.clone()).await);
        self.expected.apply(&change);
        assert_eq!(generation, self.expected.generation, "expected the generation after the change");
        self.holds().await;
        checkpoint
    }

    /// Holds the registry in storage and the gate against what they have to be.
    async fn holds(&self) {
        assert_eq!(self.gate.known(), self.expected, "expected the gate to know the registry");
        let read = self.registry.registry().await.unwrap_or_else(|error| panic!("expected the registry, got {error}"));
        assert_eq!(read, self.expected, "expected the registry in storage");
    }

    /// The events that record changes, in order.
    async fn records(&self) -> Vec<EventId> {
        self.client.stream_events(REGISTRY_STREAM).await.iter().map(|event| event.id).collect()
    }
}

/// Makes a change that has an outcome.
async fn change_now(registry: &dyn RegistryStore, change: RegistryChange) -> RegistryOutcome {
    let outcome = registry.change_registry(change).await;
    outcome.unwrap_or_else(|error| panic!("expected an outcome of the change, got the error: {error}"))
}

fn changed(outcome: RegistryOutcome) -> (Generation, Checkpoint) {
    match outcome {
        RegistryOutcome::Changed { generation, checkpoint } => (generation, checkpoint),
        other => panic!("expected the registry to be changed, got {other:?}"),
    }
}

fn refused_by_schema(outcome: AppendOutcome) {
    let is_refused = matches!(outcome, AppendOutcome::Refused(Refusal::BySchema(_)));
    assert!(is_refused, "expected the append to be refused by the schema, got {outcome:?}");
}

pub(super) async fn a_change_of_the_registry_is_made_once_and_recorded(trial: &Trial<'_>) {
    let Some(mut store) = Registered::begin(trial).await else { return };
    store.holds().await;
    store.client.write("account-1", 3).await;
    let first = RegistryChange {
        schemas: vec![
            toy::schema("Placed", 2, "1.1.0", Some("a=>b")),
            toy::schema("Placed", 1, "1.0.0", None),
            toy::schema("Änderung 😀", 1, "0.1.0", None),
        ],
        settings: vec![toy::refused("Gone", true), toy::refused("Away", true)],
        record: vec![store.client.event("SchemaRegistered"), store.client.event("ModeChanged")],
        ..RegistryChange::default()
    };
    let mut recorded: Vec<EventId> = first.record.iter().map(|event| event.id).collect();
    let checkpoint = store.make(first.clone()).await;
    assert_eq!(store.records().await, recorded, "expected the record in its stream");
    let last = store.client.stream_events(REGISTRY_STREAM).await.pop().expect("the record is there");
    assert_eq!(checkpoint.position(last.partition), last.position, "expected the checkpoint at the record's end");
    let head = store.client.head().await;
    assert!(head.covers(&checkpoint), "expected the head {head} to cover the record's end {checkpoint}");

    // The same again, and another one by somebody who has not read the registry since.
    for stale in [first, RegistryChange { expected: Generation(0), ..store.change() }] {
        let outcome = change_now(&*store.registry, stale).await;
        assert_eq!(outcome, RegistryOutcome::Moved { current: Generation(1) }, "expected that it has moved");
    }
    let early = RegistryChange { expected: Generation(7), ..store.change() };
    let outcome = change_now(&*store.registry, early).await;
    assert_eq!(outcome, RegistryOutcome::Moved { current: Generation(1) }, "expected that it is not there yet");
    store.holds().await;
    assert_eq!(store.records().await, recorded, "expected no record of what was not done");
    assert_eq!(store.client.head().await, head, "expected nothing to be stored");

    let mut replaced = toy::schema("Placed", 1, "1.0.1", None);
    (replaced.is_deleted, replaced.registered_by, replaced.references) = (true, None, Some("[]".into()));
    let second = RegistryChange {
        schemas: vec![replaced, toy::schema("Placed", 3, "2.0.0", Some("b=>c"))],
        removed: vec![(event_type("Placed"), 2), (event_type("Unknown"), 1)],
        settings: vec![toy::refused("Gone", false), toy::refused("Never", false)],
        ..store.change()
    };
    recorded.extend(second.record.iter().map(|event| event.id));
    store.make(second).await;
    assert_eq!(store.records().await, recorded, "expected both records in order");
    store.client.write("account-1", 1).await;
    verify::verify(&store.client).await;
}

pub(super) async fn a_change_without_a_record_of_its_own_changes_nothing(trial: &Trial<'_>) {
    let Some(mut store) = Registered::begin(trial).await else { return };
    store.make(store.change()).await;
    let head = store.client.head().await;
    let known = store.client.stream_events(REGISTRY_STREAM).await[0].clone();
    let known = NewEvent { id: known.id, ..store.client.event("SchemaRegistered") };
    let same = NewEvent::json(known.id, known.event_type.clone(), known.data.bytes().clone());
    for record in [Vec::new(), vec![known.clone()], vec![same], vec![store.client.event("SchemaRegistered"), known]] {
        let schemas = vec![toy::schema("Placed", 1, "1.0.0", None)];
        let outcome = store.registry.change_registry(RegistryChange { schemas, record, ..store.change() }).await;
        assert!(matches!(outcome, Err(AppendError::Invalid(_))), "expected the change to be refused, got {outcome:?}");
        store.holds().await;
    }
    assert_eq!(store.client.head().await, head, "expected nothing to be stored");
}

pub(super) async fn of_concurrent_changes_each_generation_is_won_once(trial: &Trial<'_>) {
    let Some(mut store) = Registered::begin(trial).await else { return };
    let (tasks, rounds) = (4, trial.scaled(6));
    let changers = (0..tasks).map(|task| {
        let (registry, client) = (Arc::clone(&store.registry), store.client.clone());
        tokio::spawn(async move {
            let mut made = Vec::new();
            while made.len() < rounds {
                let known = registry.registry().await.unwrap_or_else(|error| panic!("expected the registry: {error}"));
                let change = RegistryChange {
                    expected: known.generation,
                    schemas: vec![toy::schema(&format!("Type{task}"), made.len() as u32 + 1, "1.0.0", None)],
                    record: vec![client.event("SchemaRegistered")],
                    ..RegistryChange::default()
                };
                if let RegistryOutcome::Changed { generation, .. } = change_now(&*registry, change.clone()).await {
                    made.push((generation, change));
                }
            }
            made
        })
    });
    let mut made: Vec<_> = join(changers.collect()).await.into_iter().flatten().collect();
    made.sort_by_key(|(generation, _)| *generation);
    let mut recorded = Vec::new();
    for (generation, change) in made {
        store.expected.apply(&change);
        assert_eq!(generation, store.expected.generation, "expected each generation to be won by one change");
        recorded.push(change.record[0].id);
    }
    store.holds().await;
    assert_eq!(store.records().await, recorded, "expected the records in the order of the generations");
    verify::verify(&store.client).await;
}

/// What is registered while others append is enforced from its record on: no event that it refuses lies behind it, though
/// its append was judged before.
pub(super) async fn nothing_lies_behind_the_record_that_refuses_it(trial: &Trial<'_>) {
    let Some(mut store) = Registered::begin(trial).await else { return };
    let types: Vec<String> = (0..trial.scaled(4)).map(|number| format!("Refused{number}")).collect();
    let accepted: Arc<Vec<AtomicUsize>> = Arc::new(types.iter().map(|_| AtomicUsize::new(0)).collect());
    let writers = (0..8).map(|writer| {
        let (client, types, accepted) = (store.client.clone(), types.clone(), Arc::clone(&accepted));
        let mut random = trial.random(writer);
        tokio::spawn(async move {
            let mut open: Vec<usize> = (0..types.len()).collect();
            while !open.is_empty() {
                let at = random.below(open.len());
                let name = format!("order-{}", random.below(16));
                let events = vec![client.event("Noted"), client.event(&types[open[at]])];
                match client.append(Append::to(stream(name), ExpectedVersion::Any, events)).await {
                    AppendOutcome::Refused(Refusal::BySchema(_)) => drop(open.swap_remove(at)),
                    outcome => {
                        appended(outcome);
                        accepted[open[at]].fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut fences: HashMap<String, (EventId, Checkpoint)> = HashMap::new();
    for (at, name) in types.iter().enumerate() {
        while accepted[at].load(Ordering::SeqCst) < 8 {
            tokio::task::yield_now().await;
        }
        let change = RegistryChange { settings: vec![toy::refused(name, true)], ..store.change() };
        let record = change.record[0].id;
        store.make(change).await;
        // Whoever begins now is refused, and so the head of now is the end of what the type may have.
        refused_by_schema(
            store
                .client
                .append(Append::to(stream("order-0"), ExpectedVersion::Any, vec![store.client.event(name)]))
                .await,
        );
        fences.insert(name.clone(), (record, store.client.head().await));
    }
    join(writers).await;
    let log = store.client.log().await;
    let places: HashMap<EventId, Place> = log.iter().map(|event| (event.id, event.place())).collect();
    for event in &log {
        let Some((record, head)) = fences.get(event.event_type.as_str()) else { continue };
        let (place, record) = (event.place(), places[record]);
        assert!(
            place.partition != record.partition || place.position < record.position,
            "expected no {} behind the record at {record} that refuses it, there is one at {place}",
            event.event_type
        );
        assert!(
            place.position <= head.position(place.partition),
            "expected no {} behind {head}, the head when it was refused; there is one at {place}",
            event.event_type
        );
    }
    for (at, name) in types.iter().enumerate() {
        let stored = log.iter().filter(|event| event.event_type.as_str() == *name).count();
        assert_eq!(stored, accepted[at].load(Ordering::SeqCst), "expected every accepted {name} once");
    }
    verify::verify(&store.client).await;
}

pub(super) async fn events_get_the_schema_version_that_the_gate_gives(trial: &Trial<'_>) {
    let Some(mut store) = Registered::begin(trial).await else { return };
    let mut expected = Vec::new();
    for round in 1..=3_u32 {
        let schemas = vec![toy::schema("Placed", round, &format!("1.{round}.0"), Some("a=>b"))];
        store.make(RegistryChange { schemas, ..store.change() }).await;
        let says_one = NewEvent { schema_version: Some(1), ..store.client.event("Placed") };
        let other = NewEvent { schema_version: Some(9), ..store.client.event("Other") };
        let events = vec![store.client.event("Placed"), store.client.event("Other"), says_one, other];
        store.client.accepted(Append::to(stream("order-1"), ExpectedVersion::Any, events)).await;
        expected.extend([round, 1, 1, 9]);
    }
    let stored = store.client.stream_events("order-1").await;
    let versions: Vec<u32> = stored.iter().map(|event| event.schema_version).collect();
    assert_eq!(versions, expected, "expected the newest version where an event says none, and as stored");
    let data: Vec<_> = stored.iter().map(|event| event.data.clone()).collect();
    assert!(data.iter().all(|data| data.bytes().starts_with(b"{\"n\":")), "expected reads as stored, got {data:?}");
    verify::verify(&store.client).await;
}

pub(super) async fn a_retry_outlives_the_schema_that_would_refuse_it(trial: &Trial<'_>) {
    let Some(mut store) = Registered::begin(trial).await else { return };
    let events = vec![store.client.event("Placed"), store.client.event("Noted")];
    let request = Append::to(stream("order-1"), ExpectedVersion::None, events).key(store.client.id());
    let answer = store.client.accepted(request.clone()).await;
    store.make(RegistryChange { settings: vec![toy::refused("Placed", true)], ..store.change() }).await;
    let again = duplicate(store.client.append(request.clone()).await);
    assert_eq!(again.first_position, answer.first_position, "expected the answer of the first time");
    let mut new_ids = request.clone();
    for event in new_ids.writes.iter_mut().flat_map(|write| &mut write.events) {
        event.id = EventId(store.client.id());
    }
    duplicate(store.client.append(new_ids.clone()).await);
    // Under another key it is something new, and the schema comes before what is expected of the stream.
    refused_by_schema(store.client.append(new_ids.key(store.client.id())).await);
    store.make(RegistryChange { settings: vec![toy::refused("Placed", false)], ..store.change() }).await;
    let stale = Append::to(stream("order-1"), ExpectedVersion::None, vec![store.client.event("Placed")]);
    conflict(store.client.append(stale).await);
    store
        .client
        .accepted(Append::to(stream("order-1"), ExpectedVersion::Any, vec![store.client.event("Placed")]))
        .await;
    verify::verify(&store.client).await;
}

pub(super) async fn readers_that_gave_their_names_are_known(trial: &Trial<'_>) {
    let Some(store) = Registered::begin(trial).await else { return };
    let registry = &store.registry;
    let known = || async {
        registry.named_readers().await.unwrap_or_else(|error| panic!("expected the readers, got the error: {error}"))
    };
    assert_eq!(known().await, [], "expected no reader yet");
    let plain = NamedReader {
        name: "mailer".into(),
        types: Vec::new(),
        categories: Vec::new(),
        understands: Vec::new(),
        read_at: Timestamp::from_micros(1),
        checkpoint: None,
        waits_for: None,
        live_until: None,
    };
    store.client.write("account-1", 2).await;
    let full = NamedReader {
        name: "billing \"ü\", 'x'".into(),
        types: vec![event_type("Placed"), event_type("Order, \"shipped\"")],
        categories: vec!["order".into(), "account, a".into()],
        understands: ["Placed:^1", "urn:order:shipped:>=1, <3"].map(|text| text.parse().expect("it is valid")).into(),
        read_at: Timestamp::from_micros(-2),
        checkpoint: Some(store.client.head().await),
        waits_for: Some("Placed 2.0.0".into()),
        live_until: None,
    };
    let note = |reader: NamedReader| async move {
        registry.note_reader(reader).await.unwrap_or_else(|error| panic!("expected to note a reader: {error}"));
    };
    note(plain.clone()).await;
    note(full.clone()).await;
    assert_eq!(known().await, [full.clone(), plain.clone()], "expected both, by name");
    let later = NamedReader { read_at: Timestamp::from_micros(5), ..full.clone() };
    let replaced = NamedReader { name: full.name.clone(), ..plain.clone() };
    for reader in [later, replaced] {
        note(reader.clone()).await;
        store.client.write("account-1", 1).await;
        assert_eq!(known().await, [reader, plain.clone()], "expected the newest of a name");
    }
    for was_known in [true, false] {
        let forgotten = registry.forget_reader("mailer").await;
        assert!(matches!(forgotten, Ok(is) if is == was_known), "expected {was_known}, got {forgotten:?}");
    }
    assert_eq!(known().await.len(), 1, "expected the other one to stay");
}

pub(super) async fn consumers_that_track_are_known(trial: &Trial<'_>) {
    let Some(store) = Registered::begin(trial).await else { return };
    let known = || async {
        let consumers = store.registry.tracked_consumers().await;
        let consumers = consumers.unwrap_or_else(|error| panic!("expected the consumers, got the error: {error}"));
        consumers.into_iter().map(|consumer| (consumer.name.to_string(), consumer.checkpoint)).collect::<Vec<_>>()
    };
    assert_eq!(known().await, [], "expected no consumer yet");
    let track = |name: &str, at: &Checkpoint| {
        let mut append = Append::to(stream("order-1"), ExpectedVersion::Any, vec![store.client.event("Placed")]);
        append.tracking = Some(Tracking { name: name.to_owned(), checkpoint: at.clone() });
        append
    };
    store.client.write("account-1", 1).await;
    let first = store.client.head().await;
    for name in ["mailer", "billing \"ü\""] {
        store.client.accepted(track(name, &first)).await;
    }
    let second = store.client.head().await;
    store.client.accepted(track("mailer", &second)).await;
    conflict(store.client.append(track("billing \"ü\"", &first)).await);
    let expected = [("billing \"ü\"".to_owned(), first), ("mailer".to_owned(), second)];
    assert_eq!(known().await, expected, "expected each where it came to, by name");
    let forgotten = store.registry.forget_reader("mailer").await;
    assert!(matches!(forgotten, Ok(false)), "expected that a consumer is no named reader, got {forgotten:?}");
    assert_eq!(known().await, expected, "expected that nobody forgets where a consumer stands");
}

pub(super) async fn the_registry_is_there_after_reopening(trial: &Trial<'_>) {
    let Some(mut store) = Registered::begin(trial).await else { return };
    for round in 1..=2 {
        let change = RegistryChange {
            schemas: vec![toy::schema("Placed", round, "1.0.0", Some("a=>b"))],
            settings: vec![toy::refused(&format!("Gone{round}"), true)],
            ..store.change()
        };
        store.make(change).await;
        let records = store.records().await;
        store.gate = ToyGate::new();
        let Registered { client, registry, gate, expected } = store;
        let gated = Gated { store: client.store, registry };
        let Some(gated) = trial.subject.reopen_with_gate(gated, Arc::new(gate.clone())).await else { return };
        let client = trial.client_of(gated.store);
        store = Registered { client, registry: gated.registry, gate, expected };
        assert_eq!(store.gate.generation(), store.expected.generation, "expected the gate to be told when it opens");
        store.holds().await;
        assert_eq!(store.records().await, records, "expected the records after reopening");
        let gone = store.client.event(&format!("Gone{round}"));
        refused_by_schema(store.client.append(Append::to(stream("order-1"), ExpectedVersion::Any, vec![gone])).await);
        store
            .client
            .accepted(Append::to(stream("order-1"), ExpectedVersion::Any, vec![store.client.event("Placed")]))
            .await;
    }
    verify::verify(&store.client).await;
}
