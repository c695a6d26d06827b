//! What the tests of this crate share: a gate with its registry, and events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pacioli_core::append::StreamWrite;
use pacioli_core::schemas::{
    Gate, Lens, OnNewer, Registry, RegistryChange, SchemaFormat, SchemaViolation, Seen, Setting, SettingScope, Shape,
    Verdict, Withheld,
};
use pacioli_core::{
    EventId, EventType, ExpectedVersion, Metadata, NewEvent, Partition, Payload, Position, RecordedEvent, StreamName,
    Tags, Timestamp, Version,
};
use serde_json::{Value, json};

use crate::SchemaGate;
use crate::register::{Draft, Proposal, RegisterError, draft};

pub(crate) const TYPE: &str = "MoneyDeposited";

/// A store's registry with its gate.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) registry: Registry,
    pub(crate) gate: SchemaGate,
}

impl Desk {
    pub(crate) fn apply(&mut self, change: &RegistryChange) {
        assert_eq!(change.expected, self.registry.generation);
        assert!(!change.record.is_empty(), "every change is recorded");
        for event in &change.record {
            pacioli_core::json::check(event.data.bytes()).unwrap();
        }
        self.registry.apply(change);
        self.gate.take(self.registry.clone(), false);
    }

    pub(crate) fn draft(&self, proposal: &Proposal) -> Result<Draft, RegisterError> {
        draft(&self.gate.catalogue(), proposal)
    }

    pub(crate) fn register(&mut self, proposal: &Proposal) -> Result<Draft, RegisterError> {
        let catalogue = self.gate.catalogue();
        let draft = draft(&catalogue, proposal)?;
        if !draft.is_known {
            self.apply(&draft.change(&catalogue, &[], id(7)));
        }
        Ok(draft)
    }

    pub(crate) fn set(&mut self, scope: SettingScope, name: &str, value: Option<&str>) {
        let setting = Setting { scope, name: name.into(), value: value.map(Box::from) };
        let change = crate::register::set(&self.gate.catalogue(), &[setting], None, id(8)).unwrap();
        self.apply(&change);
    }

    /// The versions that events get.
    pub(crate) fn judge(&self, stream: &str, events: Vec<NewEvent>) -> Result<Box<[u32]>, Box<SchemaViolation>> {
        let stream = StreamName::new(stream.to_owned()).unwrap();
        let judged = self.gate.judge(&[StreamWrite { stream, expected: ExpectedVersion::Any, events }]);
        assert_eq!(judged.generation, self.registry.generation);
        match judged.verdict {
            Verdict::Passed(versions) => Ok(versions),
            Verdict::Violated(violation) => Err(violation),
        }
    }

    pub(crate) fn see(&self, shape: &Shape, event: &RecordedEvent) -> Shown {
        Shown::by(&*self.gate.lens(shape), event, true)
    }
}

/// What a lens shows of an event.
#[derive(Debug)]
pub(crate) enum Shown {
    AsStored,
    Lifted(Arc<RecordedEvent>),
    Withheld(Box<Withheld>),
    Unknown,
}

impl Shown {
    pub(crate) fn by(lens: &dyn Lens, event: &RecordedEvent, is_fresh: bool) -> Shown {
        let mut seen = Arc::new(event.clone());
        let shown = match lens.see(&mut seen, is_fresh) {
            Seen::Lifted => return Shown::Lifted(seen),
            Seen::AsStored => Shown::AsStored,
            Seen::Withheld(withheld) => Shown::Withheld(withheld),
            Seen::Unknown => Shown::Unknown,
        };
        assert_eq!(*seen, *event, "what is not lifted is left as it is");
        shown
    }
}

pub(crate) fn id(number: u128) -> EventId {
    EventId(uuid(number))
}

fn uuid(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}

pub(crate) fn proposal(schema: &Value, upcaster: Option<Value>) -> Proposal {
    Proposal {
        event_type: EventType::new(TYPE).unwrap(),
        format: SchemaFormat::Json,
        text: schema.to_string(),
        references: Vec::new(),
        semver: None,
        upcaster: upcaster.map(|document| document.to_string()),
        by: Some("ada".to_owned()),
        at: Timestamp::from_micros(5),
    }
}

pub(crate) fn tagged(schema: &Value, semver: &str, upcaster: Option<Value>) -> Proposal {
    Proposal { semver: Some(semver.parse().unwrap()), ..proposal(schema, upcaster) }
}

/// The schemas of a deposit: the first, one with a field more, and one with a renamed field.
pub(crate) fn deposits() -> [Value; 3] {
    let first = json!({"type":"object","properties":{"amount":{"type":"integer"},"currency":{"type":"string"}},"required":["amount"]});
    let mut second = first.clone();
    second["properties"]["note"] = json!({"type":"string"});
    let third = json!({
        "type":"object",
        "properties":{"amount_cents":{"type":"integer"},"currency":{"type":"string"},"note":{"type":"string"}},
        "required":["amount_cents","currency"],
    });
    [first, second, third]
}

pub(crate) fn lifting_deposit() -> Value {
    json!({"from":2,"to":3,"steps":[
        {"op":"move","from":"/amount","path":"/amount_cents"},
        {"op":"default","path":"/currency","value":"USD"},
    ]})
}

/// A desk at which all three deposits are registered.
pub(crate) fn desk() -> Desk {
    let mut desk = Desk::default();
    let [first, second, third] = deposits();
    desk.register(&proposal(&first, None)).unwrap();
    desk.register(&proposal(&second, None)).unwrap();
    desk.register(&proposal(&third, Some(lifting_deposit()))).unwrap();
    desk
}

pub(crate) fn new_event(event_type: &str, version: Option<u32>, data: &Value) -> NewEvent {
    let event_type = EventType::new(event_type.to_owned()).unwrap();
    NewEvent { schema_version: version, ..NewEvent::json(id(1), event_type, data.to_string()) }
}

pub(crate) fn stored(event_type: &str, schema_version: u32, data: &Value) -> RecordedEvent {
    RecordedEvent {
        partition: Partition::ZERO,
        position: Position(12),
        stream: StreamName::new("account-1").unwrap(),
        version: Version(0),
        id: id(1),
        event_type: EventType::new(event_type.to_owned()).unwrap(),
        schema_version,
        data: Payload::Json(data.to_string().into()),
        metadata: Metadata::default(),
        tags: Tags::default(),
        occurred_at: None,
        recorded_at: Timestamp::default(),
    }
}

/// What a reader wants that understands these.
pub(crate) fn shape(raw: bool, understands: &[&str]) -> Shape {
    let understands = understands.iter().map(|text| text.parse().unwrap()).collect();
    Shape { raw, understands, on_newer: OnNewer::Stop }
}

/// The verdict must come well before this, in a build that is not optimised and on a machine that is busy.
pub(crate) fn within_bounds<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    result
}
