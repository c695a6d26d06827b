//! The schema gate as the store sees it: what it asks before an event is stored, what a reader states that it
//! understands, and the registry that it keeps.
//!
//! The rules themselves (compatibility, validation, upcasting) are those of the crate `pacioli-schema`, which implements
//! [`Gate`]. An engine keeps the rows of the [registry](Registry) beside its log and reads their [`Generation`] under the
//! lock under which it appends: an append that was judged under another one is judged again, so that what one server
//! registered is enforced on all of them at once.

mod semver;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;

use crate::append::{Append, StreamWrite};
use crate::event::{NewEvent, RecordedEvent, Timestamp};
use crate::names::EventType;
use crate::place::{Checkpoint, Place};
use crate::store::{AppendError, ReadError};

pub use semver::{InvalidSemver, Semver, SemverRange};

/// The stream that records what was done to the registry.
pub const REGISTRY_STREAM: &str = "$schemas";

/// How often the registry was changed: 0 before its first change, and one more with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a reader understands of one event type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Understanding {
    /// The type.
    pub event_type: EventType,
    /// The versions of its schema.
    pub versions: SemverRange,
}

impl fmt::Display for Understanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.event_type, self.versions)
    }
}

impl FromStr for Understanding {
    type Err = String;

    /// Reads `OrderPlaced:^1`; a blank may stand where the colon does.
    fn from_str(text: &str) -> Result<Understanding, String> {
        let by_colon = text.rsplit_once(':');
        // The names of types have colons too, and ranges have blanks: what lies behind the cut decides which one was meant.
        let is_meant = |(_, versions): &(&str, &str)| versions.parse::<SemverRange>().is_ok();
        let by_blank = || text.split_once(char::is_whitespace).filter(|parts| is_meant(parts) || by_colon.is_none());
        let parts = by_colon.filter(is_meant).or_else(by_blank).or(by_colon);
        let (event_type, versions) = parts
            .ok_or_else(|| format!("`{text}` states nothing; write a type and its versions, like `OrderPlaced:^1`"))?;
        Ok(Understanding {
            event_type: EventType::new(event_type.trim()).map_err(|error| error.to_string())?,
            versions: versions.parse().map_err(|error: InvalidSemver| error.to_string())?,
        })
    }
}

/// What becomes of a reader that meets an event whose shape it does not understand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnNewer {
    /// It stops before that event, and is told which version it waits for.
    #[default]
    Stop,
    /// The event is passed over and counted.
    Skip,
}

/// In which shape a reader wants events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape {
    /// As they were stored, and not lifted to the newest shape.
    pub raw: bool,
    /// What it understands; a type that is not named it understands in any version.
    pub understands: Vec<Understanding>,
    /// What becomes of it where it does not.
    pub on_newer: OnNewer,
}

impl Shape {
    /// Whether nothing special is asked: the newest shape of everything.
    pub fn is_default(&self) -> bool {
        *self == Shape::default()
    }
}

/// An event that a reader does not understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// Where it lies.
    pub place: Place,
    /// Its type.
    pub event_type: EventType,
    /// The version of the schema that it follows.
    pub schema_version: u32,
    /// The same as a semantic version; `None` where no such version is registered.
    pub semver: Option<Semver>,
    /// What the reader understands.
    pub understands: SemverRange,
}

impl Withheld {
    /// The version that its reader waits for, in words.
    pub fn awaited(&self) -> String {
        let Withheld { event_type, schema_version, semver, .. } = self;
        match semver {
            Some(semver) => format!("{event_type} {semver} (schema version {schema_version})"),
            None => format!("{event_type} of schema version {schema_version}, which is not registered"),
        }
    }
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Withheld { place, semver, understands, .. } = self;
        write!(f, "the event at {place} is {}, and this reader understands {understands}; ", self.awaited())?;
        // Of an older one the reader needs to learn nothing: what lies between is what lacks.
        f.write_str(match semver {
            Some(semver) if *semver < understands.from => {
                "no upcaster lifts it that far: register the version behind it again with the upcaster that it lacks (`raw` \
                 uses none), or let the reader understand that older version too, or skip what it does not understand"
            }
            _ => {
                "teach the reader that version and let it say so, or let it skip what it does not understand"
            }
        })
    }
}

/// What a [`Lens`] makes of an event.
#[derive(Clone, Debug)]
pub enum Seen {
    /// It is to be delivered as it is.
    AsStored,
    /// It is to be delivered in the newer shape that it was brought into.
    Lifted,
    /// The reader does not understand it.
    Withheld(Box<Withheld>),
    /// Its version is newer than what this process knows of the registry: read the registry again, and look again.
    Unknown,
}

/// How one reader sees events. It follows the registry: what it is asked later it answers by what is registered then.
pub trait Lens: Send + Sync + 'static {
    /// How the reader sees this event. Where that is a newer shape, the event is brought into it, in place where nobody
    /// shares it.
    ///
    /// Once the registry was read and an event's version is still not known, `is_fresh` says so, and the answer is never
    /// [`Seen::Unknown`].
    fn see(&self, event: &mut Arc<RecordedEvent>, is_fresh: bool) -> Seen;
}

/// What decides whether events may be stored, and in which shape they are read.
pub trait Gate: Send + Sync + 'static {
    /// Up to which change of the registry it knows.
    fn generation(&self) -> Generation;

    /// Takes over the registry as it was read from storage. An older one than it knows is let go, unless the log was
    /// rewound (`is_rewound`): then the registry may be an older one, too.
    fn take(&self, registry: Registry, is_rewound: bool);

    /// What it says of these events. It blocks for as long as a validation takes, and no longer.
    fn judge(&self, writes: &[StreamWrite]) -> Judged;

    /// How a reader sees events that wants them in this shape.
    fn lens(&self, shape: &Shape) -> Arc<dyn Lens>;
}

/// What the gate said of an append, and by which generation of the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Under which generation.
    pub generation: Generation,
    /// What it said.
    pub verdict: Verdict,
}

/// What the gate says of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of it may be stored. The schema version that each event gets, in their order; empty where each gets the one that
    /// it says, or 1.
    Passed(Box<[u32]>),
    /// An event is not what its schema says: nothing of it may be stored.
    Violated(Box<SchemaViolation>),
}

impl Default for Verdict {
    fn default() -> Verdict {
        Verdict::Passed(Box::default())
    }
}

/// Why an event may not be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaViolation {
    /// The field, like `writes[0].events[3].data` or `writes[0].events[3].schema_version`.
    pub field: String,
    /// The event's type.
    pub event_type: EventType,
    /// The version it was held against.
    pub schema_version: u32,
    /// The same as a semantic version; `None` where no such version is registered.
    pub semver: Option<Semver>,
    /// Where in its data, as a JSON pointer; empty is all of it.
    pub path: String,
    /// The rule that is broken, as the schema names it: `type`, `required`.
    pub rule: String,
    /// What is wrong there, as the rest of a sentence.
    pub problem: String,
    /// The registered version nearest to that one that would accept it.
    pub accepted_by: Option<u32>,
}

impl fmt::Display for SchemaViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SchemaViolation { field, event_type, schema_version, semver, path, rule, problem, accepted_by } = self;
        write!(f, "{field}: {event_type} version {schema_version}")?;
        if let Some(semver) = semver {
            write!(f, " ({semver})")?;
        }
        let path = if path.is_empty() { "the data" } else { path };
        write!(f, " refuses it: {path} {problem} (rule `{rule}`)")?;
        match accepted_by {
            Some(version) => {
                write!(f, "; version {version} would accept it: say `schema_version` {version}, or mend the event")
            }
            None => f.write_str("; mend the event, or register a version that allows it"),
        }
    }
}

/// The language of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchemaFormat {
    /// JSON Schema, draft 2020-12.
    Json,
    /// Apache Avro.
    Avro,
    /// Protocol Buffers.
    Protobuf,
}

impl SchemaFormat {
    /// Every format.
    pub const ALL: [SchemaFormat; 3] = [SchemaFormat::Json, SchemaFormat::Avro, SchemaFormat::Protobuf];

    /// The word for it, as it is stored and told.
    pub fn word(self) -> &'static str {
        match self {
            SchemaFormat::Json => "json",
            SchemaFormat::Avro => "avro",
            SchemaFormat::Protobuf => "protobuf",
        }
    }

    /// The format with this [word](SchemaFormat::word), whatever its case.
    pub fn from_word(word: &str) -> Option<SchemaFormat> {
        SchemaFormat::ALL.into_iter().find(|format| format.word().eq_ignore_ascii_case(word))
    }
}

/// A registered schema: one row of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// The event type it is of.
    pub event_type: EventType,
    /// Its number: 1, 2, 3 … for each type. What events say as their `schema_version`.
    pub version: u32,
    /// Its semantic version.
    pub semver: Semver,
    /// A number for the text: the same text (and format) has the same in the whole store, whatever type it is of.
    pub id: u32,
    /// The language of `text`.
    pub format: SchemaFormat,
    /// The schema, as it was registered.
    pub text: Arc<str>,
    /// What else it needs, as the names and versions of other schemas: a JSON array, or `None`.
    pub references: Option<Arc<str>>,
    /// The document that lifts an event of the version before to this one; `None` where none was given.
    pub upcaster: Option<Arc<str>>,
    /// Whether it is hidden: no event may be stored under it any more. Events that follow it are read as before.
    pub is_deleted: bool,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// Who did it, where that is known.
    pub registered_by: Option<Box<str>>,
}

/// What a setting of the registry is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SettingScope {
    /// All.
    Global,
    /// The streams of a category.
    Category(Box<str>),
    /// An event type.
    Type(Box<str>),
}

impl SettingScope {
    /// As it is stored: one word, and a name that is empty for the first.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            SettingScope::Global => ("global", ""),
            SettingScope::Category(name) => ("category", name),
            SettingScope::Type(name) => ("type", name),
        }
    }

    /// What [`SettingScope::parts`] made.
    pub fn from_parts(word: &str, name: &str) -> Option<SettingScope> {
        Some(match word {
            "global" => SettingScope::Global,
            "category" => SettingScope::Category(name.into()),
            "type" => SettingScope::Type(name.into()),
            _ => return None,
        })
    }
}

/// A setting of the registry: one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What it is about.
    pub scope: SettingScope,
    /// Which setting.
    pub name: Box<str>,
    /// Its value; `None` in a change takes it away.
    pub value: Option<Box<str>>,
}

/// All rows of the registry, as they were at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    /// How often it had been changed.
    pub generation: Generation,
    /// The schemas, by type and version.
    pub schemas: Vec<RegisteredSchema>,
    /// The settings, by scope and name.
    pub settings: Vec<Setting>,
}

impl Registry {
    /// What becomes of it by a change that was accepted.
    pub fn apply(&mut self, change: &RegistryChange) {
        self.generation = Generation(self.generation.0 + 1);
        let is = |known: &RegisteredSchema, event_type: &EventType, version: u32| {
            known.event_type == *event_type && known.version == version
        };
        for schema in &change.schemas {
            self.schemas.retain(|known| !is(known, &schema.event_type, schema.version));
            self.schemas.push(schema.clone());
        }
        for (event_type, version) in &change.removed {
            self.schemas.retain(|known| !is(known, event_type, *version));
        }
        self.schemas.sort_by(|a, b| (&a.event_type, a.version).cmp(&(&b.event_type, b.version)));
        for setting in &change.settings {
            self.settings.retain(|known| (&known.scope, &known.name) != (&setting.scope, &setting.name));
            if setting.value.is_some() {
                self.settings.push(setting.clone());
            }
        }
        self.settings.sort_by(|a, b| (&a.scope, &a.name).cmp(&(&b.scope, &b.name)));
    }
}

/// A change of the registry: its rows and the events that record it, in one transaction.
#[derive(Clone, Debug, Default)]
pub struct RegistryChange {
    /// What the registry was when the change was thought out.
    pub expected: Generation,
    /// Rows that are new, or replace the one of the same type and version.
    pub schemas: Vec<RegisteredSchema>,
    /// Rows that go.
    pub removed: Vec<(EventType, u32)>,
    /// Settings that are new, or replace the one of the same scope and name.
    pub settings: Vec<Setting>,
    /// What is appended to [`REGISTRY_STREAM`], at least one event.
    pub record: Vec<NewEvent>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryOutcome {
    /// It is done, durable, and every append from now on is held against it.
    Changed {
        /// What the registry is now.
        generation: Generation,
        /// Where its record ends in the log.
        checkpoint: Checkpoint,
    },
    /// Somebody else changed it meanwhile, and nothing was done: read it again, and think again.
    Moved {
        /// What it is.
        current: Generation,
    },
}

/// A reader that gave its name: what it reads, what it understands, and when it last did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedReader {
    /// The name it gave.
    pub name: Box<str>,
    /// The event types that it asked for; empty is all.
    pub types: Vec<EventType>,
    /// The categories that it asked for; empty is all.
    pub categories: Vec<Box<str>>,
    /// What it said that it understands.
    pub understands: Vec<Understanding>,
    /// When it last read.
    pub read_at: Timestamp,
    /// How far it had come by then.
    pub checkpoint: Option<Checkpoint>,
    /// What it waits for: the version that it does not understand.
    pub waits_for: Option<Box<str>>,
    /// Until when it counts as one that follows the log, unless it is noted again before. `None` in a note says nothing of
    /// it, and what was known stays. A store that only one server can have open may let it go.
    pub live_until: Option<Timestamp>,
}

/// A consumer whose appends carry its checkpoint ([`Tracking`](crate::Tracking)). What it reads is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedConsumer {
    /// Its name.
    pub name: Box<str>,
    /// Where it stands.
    pub checkpoint: Checkpoint,
    /// When it last moved, where the store keeps that.
    pub moved_at: Option<Timestamp>,
}

/// Holds an append against the registry as it is under the lock under which it is to be stored: what was judged under
/// another generation is judged again, by a gate that has taken this one over.
///
/// # Errors
/// [`AppendError::Denied`] where schemas are registered and the store was opened without a gate.
pub fn judge(gate: Option<&dyn Gate>, generation: Generation, append: &mut Append) -> Result<(), AppendError> {
    if append.generation() == generation {
        return Ok(());
    }
    let Some(gate) = gate else {
        let reason = "this store has registered schemas and was opened without a schema gate; open it with one, or append \
                      through a server";
        return Err(AppendError::Denied { reason: reason.to_owned() });
    };
    let judged = gate.judge(append.writes());
    assert_eq!(judged.generation, generation, "the gate has taken over the registry under whose lock it judges");
    append.set_judged(judged);
    Ok(())
}

/// Keeps the registry beside the log.
#[async_trait]
pub trait RegistryStore: Send + Sync + 'static {
    /// All of it, as it is now in storage; the store's gate has taken it over when this returns.
    async fn registry(&self) -> Result<Registry, ReadError>;

    /// Makes sure that the store's gate knows the registry as it is now in storage, or newer: where others write the same
    /// storage, it is asked for the generation, and read where that is another one.
    async fn catch_up(&self) -> Result<(), ReadError> {
        self.registry().await.map(drop)
    }

    /// Makes a change, if the registry still is what was expected. All of it is done or nothing, and appends that were
    /// judged before it are judged again before they are stored. The store's gate has taken it over when this returns.
    ///
    /// # Errors
    /// [`AppendError::Unknown`] where nobody knows whether it was done: read the registry.
    async fn change_registry(&self, change: RegistryChange) -> Result<RegistryOutcome, AppendError>;

    /// Writes down that a reader read, in the place of what was known of one of that name. It may be lost in a crash.
    async fn note_reader(&self, reader: NamedReader) -> Result<(), ReadError>;

    /// The readers that gave their names, by name.
    async fn named_readers(&self) -> Result<Vec<NamedReader>, ReadError>;

    /// The consumers whose appends carry their checkpoints, by name.
    async fn tracked_consumers(&self) -> Result<Vec<TrackedConsumer>, ReadError>;

    /// Forgets a reader; false where none of that name was known.
    async fn forget_reader(&self, name: &str) -> Result<bool, ReadError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_understanding_names_a_type_and_its_versions() {
        let stated: Understanding = "OrderPlaced:^1".parse().unwrap();
        assert_eq!((stated.event_type.as_str(), stated.to_string().as_str()), ("OrderPlaced", "OrderPlaced:^1"));
        let stated: Understanding = "urn:order:placed:>=1, <3".parse().unwrap();
        assert_eq!(stated.event_type.as_str(), "urn:order:placed");
        for (text, event_type, versions) in [
            ("OrderPlaced ^1", "OrderPlaced", "^1"),
            ("urn:a:b ^1", "urn:a:b", "^1"),
            ("urn:a:1 >=1, <3", "urn:a:1", ">=1, <3"),
        ] {
            let stated: Understanding = text.parse().unwrap();
            assert_eq!((stated.event_type.as_str(), &*stated.versions.to_string()), (event_type, versions));
        }
        for wrong in ["OrderPlaced", "urn:a:b new", "OrderPlaced:", ":^1", "OrderPlaced:new"] {
            assert!(wrong.parse::<Understanding>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_does_not_understand_an_event_is_told_the_ways_out() {
        let withheld = |semver: Option<&str>, understands: &str| Withheld {
            place: Place { partition: crate::Partition::ZERO, position: crate::Position(12) },
            event_type: EventType::new("OrderPlaced").unwrap(),
            schema_version: 3,
            semver: semver.map(|semver| semver.parse().unwrap()),
            understands: understands.parse().unwrap(),
        };
        let newer = withheld(Some("2.0.0"), "^1").to_string();
        assert!(newer.contains("2.0.0 (schema version 3)") && newer.contains("teach the reader"), "{newer}");
        assert!(withheld(None, "^1").to_string().contains("not registered"));
        let older = withheld(Some("1.4.0"), "^2").to_string();
        assert!(older.contains("no upcaster lifts it that far") && !older.contains("teach"), "{older}");
    }

    #[test]
    fn a_change_is_applied_by_type_version_and_scope() {
        let schema = |version: u32, text: &str| RegisteredSchema {
            event_type: EventType::new("E").unwrap(),
            version,
            semver: Semver::FIRST,
            id: version,
            format: SchemaFormat::Json,
            text: text.into(),
            references: None,
            upcaster: None,
            is_deleted: false,
            registered_at: Timestamp::default(),
            registered_by: None,
        };
        let setting = |value: Option<&str>| Setting {
            scope: SettingScope::Category("order".into()),
            name: "mode".into(),
            value: value.map(Box::from),
        };
        let mut registry = Registry::default();
        let change = |schemas: Vec<RegisteredSchema>, settings: Vec<Setting>| RegistryChange {
            schemas,
            settings,
            ..RegistryChange::default()
        };
        registry.apply(&change(vec![schema(2, "b"), schema(1, "a")], vec![setting(Some("warn"))]));
        registry.apply(&change(vec![schema(2, "c")], vec![setting(Some("off"))]));
        assert_eq!(registry.generation, Generation(2));
        assert_eq!(registry.schemas.iter().map(|schema| &*schema.text).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(registry.settings, [setting(Some("off"))]);
        let removed = vec![(EventType::new("E").unwrap(), 1)];
        registry.apply(&RegistryChange { removed, ..change(vec![], vec![setting(None)]) });
        assert_eq!((registry.schemas.len(), registry.settings.len()), (1, 0));
    }
}
