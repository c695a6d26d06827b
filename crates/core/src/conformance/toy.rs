//! A schema gate of a few lines, for tests of what an engine does with one: it knows no schema language.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use crate::append::StreamWrite;
use crate::event::{NewEvent, Payload, RecordedEvent, Timestamp};
use crate::names::EventType;
use crate::schemas::{
    Gate, Generation, Judged, Lens, RegisteredSchema, Registry, SchemaFormat, SchemaViolation, Seen, Setting,
    SettingScope, Shape, Verdict, Withheld,
};

/// A gate that refuses the types whose [setting](refused) says so, gives events the newest version of their type where they
/// say none, and lifts them by replacing text, as the [upcasters](schema) of their type say.
#[derive(Clone, Debug, Default)]
pub struct ToyGate {
    known: Arc<RwLock<Registry>>,
}

/// The row of a schema whose events have `old` where the next version's have `new`: its upcaster is `old=>new`.
pub fn schema(event_type: &str, version: u32, semver: &str, upcaster: Option<&str>) -> RegisteredSchema {
    RegisteredSchema {
        event_type: EventType::from_storage(event_type),
        version,
        semver: semver.parse().unwrap_or_else(|error| panic!("{error}")),
        id: version,
        format: SchemaFormat::Json,
        text: format!("{{\"title\":\"{event_type} {version}\"}}").into(),
        references: None,
        upcaster: upcaster.map(Arc::from),
        is_deleted: false,
        registered_at: Timestamp::from_micros(1_700_000_000_000_000 + i64::from(version)),
        registered_by: Some("the suite".into()),
    }
}

/// The setting that refuses a type, or with `false` lets it pass again.
pub fn refused(event_type: &str, is_refused: bool) -> Setting {
    let value = is_refused.then(|| "refuse".into());
    Setting { scope: SettingScope::Type(event_type.into()), name: "mode".into(), value }
}

impl ToyGate {
    /// A gate that knows nothing yet.
    pub fn new() -> ToyGate {
        ToyGate::default()
    }

    /// The registry as it was given to the gate last.
    pub fn known(&self) -> Registry {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Gate for ToyGate {
    fn generation(&self) -> Generation {
        self.known.read().unwrap_or_else(PoisonError::into_inner).generation
    }

    fn take(&self, registry: Registry, is_rewound: bool) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if is_rewound || registry.generation > known.generation {
            *known = registry;
        }
    }

    fn judge(&self, writes: &[StreamWrite]) -> Judged {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut versions = Vec::new();
        for (at_write, write) in writes.iter().enumerate() {
            for (at_event, event) in write.events.iter().enumerate() {
                if is_refused(&known, &event.event_type) {
                    let field = format!("writes[{at_write}].events[{at_event}].data");
                    let violation = violation(field, event, version(&known, event));
                    return Judged { generation: known.generation, verdict: Verdict::Violated(Box::new(violation)) };
                }
                versions.push(version(&known, event));
            }
        }
        Judged { generation: known.generation, verdict: Verdict::Passed(versions.into()) }
    }

    fn lens(&self, shape: &Shape) -> Arc<dyn Lens> {
        Arc::new(ToyLens { known: Arc::clone(&self.known), shape: shape.clone() })
    }
}

fn is_refused(known: &Registry, event_type: &EventType) -> bool {
    known.settings.contains(&refused(event_type.as_str(), true))
}

/// The version that an event says, or the newest, or 1.
fn version(known: &Registry, event: &NewEvent) -> u32 {
    let newest = || schemas_of(known, &event.event_type).map(|schema| schema.version).max();
    event.schema_version.or_else(newest).unwrap_or(1)
}

fn schemas_of<'r>(known: &'r Registry, event_type: &EventType) -> impl Iterator<Item = &'r RegisteredSchema> {
    known.schemas.iter().filter(move |schema| schema.event_type == *event_type)
}

fn violation(field: String, event: &NewEvent, schema_version: u32) -> SchemaViolation {
    SchemaViolation {
        field,
        event_type: event.event_type.clone(),
        schema_version,
        semver: None,
        path: String::new(),
        rule: "refuse".to_owned(),
        problem: "is of a type that is refused".to_owned(),
        accepted_by: None,
    }
}

/// How a reader sees events by the rules of [`ToyGate`].
struct ToyLens {
    known: Arc<RwLock<Registry>>,
    shape: Shape,
}

impl Lens for ToyLens {
    fn see(&self, event: &mut Arc<RecordedEvent>, is_fresh: bool) -> Seen {
        if event.stream.as_str().starts_with('$') {
            return Seen::AsStored;
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let understood = self.shape.understands.iter().find(|stated| stated.event_type == event.event_type);
        let mut schemas: Vec<_> = schemas_of(&known, &event.event_type).collect();
        schemas.sort_by_key(|schema| schema.version);
        let stored = schemas.iter().position(|schema| schema.version == event.schema_version);
        if stored.is_none() && understood.is_some() && !is_fresh {
            return Seen::Unknown;
        }
        let is_understood = |schema: &&RegisteredSchema| {
            understood.is_none_or(|understood| understood.versions.contains(schema.semver))
        };
        // The versions that a chain of upcasters leads to, the stored one first.
        let reached = schemas[stored.unwrap_or(schemas.len())..].iter().copied().enumerate();
        let reached = reached.take_while(|(at, schema)| *at == 0 || !self.shape.raw && schema.upcaster.is_some());
        let reached: Vec<&RegisteredSchema> = reached.map(|(_, schema)| schema).collect();
        match (reached.iter().rposition(is_understood), understood) {
            (Some(0), _) | (None, None) => Seen::AsStored,
            (Some(target), _) => lifted(event, &reached[1..=target]),
            (None, Some(understood)) => Seen::Withheld(Box::new(Withheld {
                place: event.place(),
                event_type: event.event_type.clone(),
                schema_version: event.schema_version,
                semver: stored.map(|at| schemas[at].semver),
                understands: understood.versions.clone(),
            })),
        }
    }
}

fn lifted(event: &mut Arc<RecordedEvent>, steps: &[&RegisteredSchema]) -> Seen {
    let Payload::Json(data) = &event.data else { return Seen::AsStored };
    let mut text = String::from_utf8_lossy(data).into_owned();
    for schema in steps {
        if let Some((old, new)) = schema.upcaster.as_deref().and_then(|upcaster| upcaster.split_once("=>")) {
            text = text.replace(old, new);
        }
    }
    let lifted = Arc::make_mut(event);
    lifted.schema_version = steps.last().map_or(lifted.schema_version, |schema| schema.version);
    lifted.data = Payload::Json(Bytes::from(text));
    Seen::Lifted
}
