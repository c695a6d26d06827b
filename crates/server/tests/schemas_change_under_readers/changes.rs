//! Changes of a schema, made at random: optional fields come, required ones get other names, types and defaults, versions
//! are deleted, levels change. And events under whatever version may be stored under.

use pacioli_api::problem::Kind;
use pacioli_api::schemas::{ImpactOf, Proposed, Registration};
use pacioli_client::{Client, SchemasClient};
use pacioli_core::schemas::{SchemaFormat, Setting, SettingScope};
use pacioli_core::{
    Append, AppendOutcome, Checkpoint, EventId, EventStore, ExpectedVersion, Filter, NewEvent, Payload, PayloadChoice,
    ReadLog, StreamName,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::TYPE;
use crate::registry::{Registry, event_type};

const LEVELS: [&str; 5] = ["backward", "forward", "full", "full_transitive", "none"];

/// Numbers from a seed (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound as u64) as usize
    }
}

#[derive(Clone)]
struct Field {
    name: String,
    kind: &'static str,
    is_required: bool,
}

/// A version as its events are made.
struct Version {
    number: u32,
    fields: Vec<Field>,
    is_deleted: bool,
}

pub(super) struct Changes {
    client: Client,
    schemas: SchemasClient,
    random: Random,
    versions: Vec<Version>,
    /// Names are never used again, so that no field means two things.
    names: u32,
    level: &'static str,
    /// How many breaks were registered.
    pub(super) breaks: u32,
}

impl Changes {
    pub(super) fn new(registry: &Registry, seed: u64) -> Changes {
        Changes {
            client: registry.client.clone(),
            schemas: registry.client.schemas(),
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            versions: Vec::new(),
            names: 0,
            level: LEVELS[0],
            breaks: 0,
        }
    }

    /// The first version, and events of it.
    pub(super) async fn begin(&mut self) {
        let fields = vec![self.field(true), self.field(true), self.field(false)];
        self.register(fields, Vec::new()).await;
        self.append().await;
    }

    /// One more change, and events.
    pub(super) async fn next(&mut self) {
        let mut fields = self.newest().fields.clone();
        let required: Vec<usize> = (0..fields.len()).filter(|at| fields[*at].is_required).collect();
        match self.random.below(10) {
            0..3 => {
                fields.push(self.field(false));
                self.register(fields, Vec::new()).await;
            }
            3 | 4 if !required.is_empty() => {
                let at = required[self.random.below(required.len())];
                let (from, renamed) = (format!("/{}", fields[at].name), self.name());
                let step = json!({ "op": "move", "from": from, "path": format!("/{renamed}") });
                fields[at].name = renamed;
                self.register(fields, vec![step]).await;
            }
            5 => {
                let field = self.field(true);
                let value = if field.kind == "integer" { json!(7) } else { json!("seven") };
                let step = json!({ "op": "default", "path": format!("/{}", field.name), "value": value });
                fields.push(field);
                self.register(fields, vec![step]).await;
            }
            6 if required.iter().any(|at| fields[*at].kind == "integer") => {
                let at = *required.iter().find(|at| fields[**at].kind == "integer").unwrap();
                let step = json!({ "op": "cast", "path": format!("/{}", fields[at].name), "to": "string" });
                fields[at].kind = "string";
                self.register(fields, vec![step]).await;
            }
            7 if required.len() > 1 => {
                let at = required[self.random.below(required.len())];
                let step = json!({ "op": "drop", "path": format!("/{}", fields[at].name) });
                fields.remove(at);
                self.register(fields, vec![step]).await;
            }
            8 => {
                self.level = LEVELS[self.random.below(LEVELS.len())];
                let scope = SettingScope::Type(TYPE.into());
                let setting = Setting { scope, name: "level".into(), value: Some(self.level.into()) };
                self.schemas.set(&setting).await.unwrap();
            }
            _ => self.delete_or_break().await,
        }
        self.append().await;
    }

    /// A version goes, and what is read is what was read before; or where nothing forbids it, the chain gets a hole.
    async fn delete_or_break(&mut self) {
        let shown = self.shown();
        if self.level == "none" && self.random.below(2) == 0 {
            let fields = vec![self.field(true), self.field(false)];
            return self.register(fields, Vec::new()).await;
        }
        if shown.len() > 1 {
            let at = shown[self.random.below(shown.len())];
            let number = self.versions[at].number;
            let before = self.read().await;
            self.schemas.delete(&event_type(TYPE), Some(number), false).await.unwrap();
            assert_eq!(self.read().await, before, "version {number} was deleted");
            self.versions[at].is_deleted = true;
        }
    }

    async fn register(&mut self, fields: Vec<Field>, steps: Vec<Value>) {
        let properties: Map<String, Value> =
            fields.iter().map(|field| (field.name.clone(), json!({ "type": field.kind }))).collect();
        let required: Vec<&str> =
            fields.iter().filter(|field| field.is_required).map(|field| field.name.as_str()).collect();
        let schema = json!({ "type": "object", "properties": properties, "required": required });
        let number = self.versions.last().map_or(1, |version| version.number + 1);
        let upcaster = (!steps.is_empty()).then(|| json!({ "from": number - 1, "to": number, "steps": steps }));
        let proposed = Proposed::new(event_type(TYPE), SchemaFormat::Json, schema.to_string());
        let proposed = Proposed { upcaster: upcaster.map(|upcaster| upcaster.to_string()), ..proposed };
        let impact = match self.schemas.impact(&ImpactOf::Proposed(Box::new(proposed.clone()))).await {
            Ok(impact) => impact,
            // A level may forbid it, by a version of long ago.
            Err(problem) if problem.kind() == Kind::SchemaIncompatible => return,
            Err(problem) => panic!("{problem}"),
        };
        // Nobody may be forgotten, so all that read are looked after.
        let acknowledged = impact.unchecked().map(str::to_owned).collect();
        let registration = Registration { proposed, acknowledged, dry_run: false };
        let registered = match self.schemas.register(&registration).await {
            Ok(registered) => registered,
            // A reader came between the question and the answer; it is looked after the next time.
            Err(problem) if problem.member("readers").is_some() => return,
            Err(problem) => panic!("{problem}"),
        };
        assert_eq!((registered.version, registered.is_known), (number, false));
        if registered.size == pacioli_api::schemas::Size::Major && number > 1 {
            self.breaks += 1;
        }
        self.versions.push(Version { number, fields, is_deleted: false });
    }

    /// Appends some events, each under a version that may be.
    async fn append(&mut self) {
        for _ in 0..1 + self.random.below(4) {
            self.append_one(None).await;
        }
    }

    /// Appends an event that every reader understands by then that opted in to what it met; gives the head.
    pub(super) async fn append_last(&mut self) -> Checkpoint {
        self.append_one(self.shown().last().copied()).await
    }

    async fn append_one(&mut self, at: Option<usize>) -> Checkpoint {
        let shown = self.shown();
        let at = at.unwrap_or(shown[self.random.below(shown.len())]);
        let mut data = Map::new();
        for field in self.versions[at].fields.clone() {
            if field.is_required || self.random.below(2) == 0 {
                let value = self.random.below(1_000);
                let value = if field.kind == "integer" { json!(value) } else { json!(format!("text {value}")) };
                data.insert(field.name, value);
            }
        }
        let mut event = NewEvent::json(EventId(Uuid::now_v7()), event_type(TYPE), Value::Object(data).to_string());
        let is_newest = Some(&at) == shown.last();
        // The newest is what an event gets that says none.
        event.schema_version = (!is_newest || self.random.below(2) == 0).then_some(self.versions[at].number);
        let stream = StreamName::new(format!("thing-{}", self.random.below(3))).unwrap();
        let append = Append::to(stream, ExpectedVersion::Any, vec![event]);
        match self.client.append(append).await.unwrap() {
            AppendOutcome::Appended(appended) => appended.checkpoint,
            other => panic!("{other:?}"),
        }
    }

    /// The versions that events may be stored under.
    fn shown(&self) -> Vec<usize> {
        (0..self.versions.len()).filter(|at| !self.versions[*at].is_deleted).collect()
    }

    /// What is stored, in the newest shape.
    async fn read(&self) -> Vec<(u64, u32, Payload)> {
        let filter = Filter { types: vec![event_type(TYPE)], ..Filter::default() };
        let mut read = ReadLog { after: None, filter, limit: 1_000, payload: PayloadChoice::All };
        let mut events = Vec::new();
        loop {
            let page = self.client.read_log(read.clone()).await.unwrap();
            events.extend(page.events.iter().map(|event| (event.position.0, event.schema_version, event.data.clone())));
            if page.at_head() {
                return events;
            }
            read.after = Some(page.checkpoint);
        }
    }

    fn newest(&self) -> &Version {
        self.versions.last().unwrap()
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("field_{}", self.names)
    }

    fn field(&mut self, is_required: bool) -> Field {
        let kind = if self.random.below(2) == 0 { "integer" } else { "string" };
        Field { name: self.name(), kind, is_required }
    }
}
