//! A gate that is easy to see through: a schema is the name of a member that the data must have.

use std::sync::{Arc, Mutex, PoisonError};

use pacioli_core::schemas::{
    Gate, Generation, Judged, Lens, RegisteredSchema, Registry, RegistryChange, RegistryOutcome, RegistryStore,
    SchemaFormat, SchemaViolation, Seen, Semver, Setting, Shape, Verdict,
};
use pacioli_core::{
    Append, AppendOutcome, AppendRequest, EventId, EventType, ExpectedVersion, NewEvent, RecordedEvent, Refusal,
    StreamName, StreamWrite, Timestamp,
};
use pacioli_postgres::{PostgresOptions, PostgresStore};
use pacioli_schema::SchemaGate;
use uuid::Uuid;

use crate::support::{open, options};

/// What it knows of the registry.
#[derive(Default)]
pub(crate) struct Members {
    known: Mutex<Registry>,
}

impl Gate for Members {
    fn generation(&self) -> Generation {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).generation
    }

    fn take(&self, registry: Registry, is_rewound: bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if is_rewound || registry.generation > known.generation {
            *known = registry;
        }
    }

    fn judge(&self, writes: &[StreamWrite]) -> Judged {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut versions = Vec::new();
        for (w, write) in writes.iter().enumerate() {
            for (e, event) in write.events.iter().enumerate() {
                let newest = known.schemas.iter().rfind(|schema| schema.event_type == event.event_type);
                versions.push(event.schema_version.or(newest.map(|schema| schema.version)).unwrap_or(1));
                let Some(schema) = newest else { continue };
                let data = String::from_utf8_lossy(event.data.bytes()).into_owned();
                if !data.contains(&format!("\"{}\"", schema.text)) {
                    let violation = SchemaViolation {
                        field: format!("writes[{w}].events[{e}].data"),
                        event_type: event.event_type.clone(),
                        schema_version: schema.version,
                        semver: Some(schema.semver),
                        path: String::new(),
                        rule: "required".to_owned(),
                        problem: format!("lacks `{}`", schema.text),
                        accepted_by: None,
                    };
                    return Judged { generation: known.generation, verdict: Verdict::Violated(Box::new(violation)) };
                }
            }
        }
        Judged { generation: known.generation, verdict: Verdict::Passed(versions.into()) }
    }

    fn lens(&self, _: &Shape) -> Arc<dyn Lens> {
        Arc::new(AsStored)
    }
}

struct AsStored;

impl Lens for AsStored {
    fn see(&self, _: &mut Arc<RecordedEvent>, _: bool) -> Seen {
        Seen::AsStored
    }
}

/// Options with a gate of their own.
pub(crate) fn gated() -> PostgresOptions {
    PostgresOptions { gate: Some(Arc::new(Members::default())), ..options() }
}

/// A database of its own.
pub(crate) async fn database(label: &'static str) -> String {
    tokio::task::spawn_blocking(move || pacioli_pgtest::database_url(label)).await.expect("a database")
}

/// A store with a gate in a database of its own.
pub(crate) async fn fresh(label: &'static str, partitions: u16) -> (String, PostgresStore) {
    let url = database(label).await;
    let store = open(&url, PostgresOptions { partitions: Some(partitions), ..gated() }).await.expect("a store");
    (url, store)
}

/// A row: the data of this type must have this member.
pub(crate) fn schema(event_type: &str, version: u32, member: &str) -> RegisteredSchema {
    RegisteredSchema {
        event_type: EventType::new(event_type).expect("a type"),
        version,
        semver: Semver { major: version, minor: 0, patch: 0 },
        id: version,
        format: SchemaFormat::Avro,
        text: member.into(),
        references: Some("[]".into()),
        upcaster: None,
        is_deleted: false,
        registered_at: Timestamp::from_micros(1_700_000_000_123_456),
        registered_by: Some("a test".into()),
    }
}

/// A change of these rows.
pub(crate) fn change(expected: u64, schemas: Vec<RegisteredSchema>, settings: Vec<Setting>) -> RegistryChange {
    let record = NewEvent::json(
        EventId(Uuid::now_v7()),
        EventType::new("SchemaRegistered").expect("a type"),
        format!("{{\"change\":{expected}}}"),
    );
    RegistryChange { expected: Generation(expected), schemas, removed: Vec::new(), settings, record: vec![record] }
}

/// One event of a type with a member.
pub(crate) fn one(stream: &str, event_type: &str, member: &str) -> AppendRequest {
    let event = NewEvent::json(
        EventId(Uuid::now_v7()),
        EventType::new(event_type).expect("a type"),
        format!("{{\"{member}\":1}}"),
    );
    Append::to(StreamName::new(stream).expect("a name"), ExpectedVersion::Any, vec![event])
}

/// Whether the answer is that a schema refuses it.
pub(crate) fn is_refused(outcome: &AppendOutcome) -> bool {
    matches!(outcome, AppendOutcome::Refused(Refusal::BySchema(_)))
}

/// A store with the gate of servers in a database of its own.
pub(crate) async fn served(label: &'static str) -> (String, PostgresStore) {
    let url = database(label).await;
    let store = again(&url).await;
    (url, store)
}

/// The same database again.
pub(crate) async fn again(url: &str) -> PostgresStore {
    let gate: Arc<dyn Gate> = Arc::new(SchemaGate::new());
    open(url, PostgresOptions { gate: Some(gate), ..options() }).await.expect("a store")
}

/// A row with a JSON Schema and the steps of an upcaster.
pub(crate) fn json_schema(
    event_type: &str,
    version: u32,
    semver: &str,
    text: &str,
    steps: Option<&str>,
) -> RegisteredSchema {
    RegisteredSchema {
        semver: semver.parse().expect("a version"),
        format: SchemaFormat::Json,
        references: None,
        upcaster: steps.map(|steps| format!(r#"{{"from":{},"to":{version},"steps":{steps}}}"#, version - 1).into()),
        ..schema(event_type, version, text)
    }
}

/// Makes a change of whatever the registry is.
pub(crate) async fn register(store: &PostgresStore, schemas: Vec<RegisteredSchema>, settings: Vec<Setting>) {
    let now = store.registry().await.expect("the registry").generation;
    let outcome = store.change_registry(change(now.0, schemas, settings)).await.expect("an outcome");
    assert!(matches!(outcome, RegistryOutcome::Changed { .. }), "{outcome:?}");
}

/// A session of an application.
pub(crate) async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a session");
    tokio::spawn(connection);
    client
}
