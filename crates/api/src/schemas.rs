//! The words of the schema registry's service: what is asked of it and what it answers, the same in a server's process,
//! over gRPC and in what the CLI prints.

use pacioli_core::schemas::{NamedReader, SchemaFormat, Semver, Understanding};
use pacioli_core::{Checkpoint, EventType, Timestamp};
use serde::{Serialize, Serializer};

/// A schema that somebody wants to register, or to know the impact of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// The type it is of.
    pub event_type: EventType,
    /// Its language.
    pub format: SchemaFormat,
    /// Its text.
    pub text: String,
    /// The registered schemas that it refers to.
    pub references: Vec<Reference>,
    /// Its semantic version; `None` takes the least that the changes allow.
    pub semver: Option<Semver>,
    /// The document that lifts the version before to this one.
    pub upcaster: Option<String>,
}

impl Proposed {
    /// A schema of `event_type` that refers to nothing, whose semantic version the server chooses.
    pub fn new(event_type: EventType, format: SchemaFormat, text: impl Into<String>) -> Proposed {
        Proposed { event_type, format, text: text.into(), references: Vec::new(), semver: None, upcaster: None }
    }
}

/// A registered schema that another one refers to by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The name under which it is referred to.
    pub name: String,
    /// The type whose schema it is.
    pub event_type: EventType,
    /// Which version of it.
    pub version: u32,
}

/// A schema to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The schema.
    pub proposed: Proposed,
    /// The names of the readers that were checked, for a break.
    pub acknowledged: Vec<String>,
    /// Nothing is registered: the answer says what would be.
    pub dry_run: bool,
}

impl Registration {
    /// The registration of a schema for which no reader was checked.
    pub fn of(proposed: Proposed) -> Registration {
        Registration { proposed, acknowledged: Vec::new(), dry_run: false }
    }
}

/// A schema that is registered, or would be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Registered {
    /// The type it is of.
    #[serde(serialize_with = "shown")]
    pub event_type: EventType,
    /// Its number, which events say as their `schema_version`.
    pub version: u32,
    /// Its semantic version.
    #[serde(serialize_with = "shown")]
    pub semver: Semver,
    /// The number of its text.
    pub id: u32,
    /// Whether it was registered before, so that there was nothing to do.
    pub is_known: bool,
    /// How much it changes.
    pub size: Size,
    /// What changed since the version before.
    pub changes: Vec<Change>,
    /// What could be better about it.
    pub warnings: Vec<String>,
    /// How many stored events it was tried on.
    pub tried: u64,
    /// Where the record of it ends in the log; `None` where nothing was registered now.
    #[serde(serialize_with = "maybe_shown")]
    pub checkpoint: Option<Checkpoint>,
}

/// One difference between an older and a newer schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Where in the data: a JSON pointer, in which `*` stands for every item of a list; empty is all of it.
    pub path: String,
    /// Whether it breaks whoever reads by the newer schema what was stored under the older one.
    pub breaks_backward: bool,
    /// Whether it breaks whoever still reads by the older schema what is stored under the newer one.
    pub breaks_forward: bool,
    /// Whether data may look different by it.
    pub is_visible: bool,
    /// What changed, what breaks for whom, and the ways out.
    pub sentence: String,
}

/// The part of the semantic version that changes grow at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// Nothing changes for anybody.
    Patch,
    /// A compatible addition.
    Minor,
    /// A break.
    Major,
}

impl Size {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Size::Patch => "patch",
            Size::Minor => "minor",
            Size::Major => "major",
        }
    }
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// A registered version of the type.
    Version(u32),
    /// A schema that need not be registered.
    Text {
        /// Its language.
        format: SchemaFormat,
        /// Its text.
        text: String,
        /// The registered schemas that it refers to.
        references: Vec<Reference>,
    },
}

/// What changed between two schemas of a type?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The type: its level decides what is a break.
    pub event_type: EventType,
    /// The older one.
    pub older: Side,
    /// The newer one.
    pub newer: Side,
}

/// What changed between two schemas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The changes.
    pub changes: Vec<Change>,
    /// How much they are, by the type's level.
    pub size: Size,
    /// The word for that level.
    pub level: String,
    /// Whether that level forbids them where nothing lifts over them.
    pub is_compatible: bool,
}

/// Of what the impact is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImpactOf {
    /// Of the type, whatever may become of it.
    Type(EventType),
    /// Of one registered version of it, as a change since the one before.
    Version(EventType, u32),
    /// Of a schema that is not registered yet.
    Proposed(Box<Proposed>),
}

/// Who reads a type, and what a version of its schema means for them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Impact {
    /// The type.
    #[serde(serialize_with = "shown")]
    pub event_type: EventType,
    /// The version that was asked about.
    pub version: Option<u32>,
    /// The same as a semantic version.
    #[serde(serialize_with = "maybe_shown")]
    pub semver: Option<Semver>,
    /// How much it changes; `None` where only the type was asked about.
    pub size: Option<Size>,
    /// What changed since the version before.
    pub changes: Vec<Change>,
    /// Who reads it, by kind and name.
    pub readers: Vec<ImpactedReader>,
}

impl Impact {
    /// The names of those that nobody looked after yet.
    pub fn unchecked(&self) -> impl Iterator<Item = &str> {
        self.readers.iter().filter(|reader| reader.status == ReaderCheck::Unchecked).map(|reader| &*reader.name)
    }
}

/// Somebody who reads a type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImpactedReader {
    /// What it is.
    pub kind: ReaderKind,
    /// Its name.
    pub name: String,
    /// The fields that it reads, as JSON pointers; empty where that is not known, which may be all of them.
    pub fields: Vec<String>,
    /// The versions of the type that it said it understands; several with ` and ` between them, where those that read under
    /// its name said different ones.
    pub understands: Option<String>,
    /// When it last read.
    #[serde(serialize_with = "maybe_time")]
    pub last_read_at: Option<Timestamp>,
    /// How far it had come by then.
    #[serde(serialize_with = "maybe_shown")]
    pub checkpoint: Option<Checkpoint>,
    /// Whether somebody looked after it.
    pub status: ReaderCheck,
}

/// What reads events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReaderKind {
    /// A projection.
    Projection,
    /// A named reader that follows the log now, at any server.
    Subscription,
    /// A named reader that does not follow the log now, or a consumer whose appends carry its checkpoint.
    Consumer,
}

impl ReaderKind {
    /// Every kind.
    pub const ALL: [ReaderKind; 3] = [ReaderKind::Projection, ReaderKind::Subscription, ReaderKind::Consumer];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            ReaderKind::Projection => "projection",
            ReaderKind::Subscription => "subscription",
            ReaderKind::Consumer => "consumer",
        }
    }
}

/// Whether a break is known to suit a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReaderCheck {
    /// Whoever registers says that they looked.
    Acknowledged,
    /// It said that it understands this version.
    OptedIn,
    /// It does not follow the log and has not read for 30 days: it is not asked for.
    Gone,
    /// Nobody knows.
    Unchecked,
}

impl ReaderCheck {
    /// Every one.
    pub const ALL: [ReaderCheck; 4] =
        [ReaderCheck::Acknowledged, ReaderCheck::OptedIn, ReaderCheck::Gone, ReaderCheck::Unchecked];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            ReaderCheck::Acknowledged => "acknowledged",
            ReaderCheck::OptedIn => "opted_in",
            ReaderCheck::Gone => "gone",
            ReaderCheck::Unchecked => "unchecked",
        }
    }
}

/// What was deleted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deleted {
    /// The versions, in order.
    pub versions: Vec<u32>,
    /// Where the record of it ends in the log.
    #[serde(serialize_with = "shown")]
    pub checkpoint: Checkpoint,
}

/// How a named reader is: what `GET /v1/readers` lists.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReaderStatus {
    /// Its name.
    pub name: String,
    /// Whether it follows the log now, at any server. One whose server died counts as live for a minute.
    pub live: bool,
    /// Whether it does not follow the log and has not read for 30 days: no break asks for it any more.
    pub gone: bool,
    /// The event types that it asked for; empty is all.
    pub types: Vec<String>,
    /// The categories that it asked for; empty is all.
    pub categories: Vec<String>,
    /// What it said that it understands: `OrderPlaced:^1`.
    pub schemas: Vec<String>,
    /// The version that it waits for, since it does not understand it.
    pub waits_for: Option<String>,
    /// When it last read.
    #[serde(serialize_with = "time")]
    pub read_at: Timestamp,
    /// How far it had come by then.
    #[serde(serialize_with = "maybe_shown")]
    pub checkpoint: Option<Checkpoint>,
    /// How many events it passed over since the server that was asked began, since it did not understand them.
    pub skipped: u64,
}

impl ReaderStatus {
    /// The status of a reader as the store knows it, one that does not follow the log.
    pub fn new(reader: &NamedReader, skipped: u64) -> ReaderStatus {
        ReaderStatus {
            name: reader.name.to_string(),
            live: false,
            gone: false,
            types: reader.types.iter().map(ToString::to_string).collect(),
            categories: reader.categories.iter().map(ToString::to_string).collect(),
            schemas: reader.understands.iter().map(ToString::to_string).collect(),
            waits_for: reader.waits_for.as_deref().map(str::to_owned),
            read_at: reader.read_at,
            checkpoint: reader.checkpoint.clone(),
            skipped,
        }
    }
}

/// Reads what readers understand: each text is one statement, `OrderPlaced:^1`, or several with commas between them. A
/// comma belongs to the range before it where no type follows it: `OrderPlaced:>=1, <3,OrderPaid:^2`.
///
/// # Errors
/// What is no such statement, or states a type twice.
pub fn understandings<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Understanding>, String> {
    let mut statements: Vec<String> = Vec::new();
    for text in texts {
        let mut is_first = true;
        for part in text.split(',') {
            match statements.last_mut() {
                Some(last) if !is_first && !part.contains(':') => {
                    last.push(',');
                    last.push_str(part);
                }
                _ => statements.push(part.trim().to_owned()),
            }
            is_first = false;
        }
    }
    let mut understood: Vec<Understanding> = Vec::with_capacity(statements.len());
    for statement in statements {
        let one: Understanding = statement.parse()?;
        if understood.iter().any(|known| known.event_type == one.event_type) {
            return Err(format!("`{}` is stated twice; give one range for it", one.event_type));
        }
        understood.push(one);
    }
    Ok(understood)
}

fn shown<S: Serializer>(value: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

fn maybe_shown<S: Serializer>(value: &Option<impl ToString>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.serialize_some(&value.to_string()),
        None => serializer.serialize_none(),
    }
}

fn time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&crate::time::format(*at))
}

fn maybe_time<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => time(at, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart_where_ranges_have_commas() {
        let read = |texts: &[&str]| {
            let read = understandings(texts.iter().copied())?;
            Ok::<_, String>(read.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(read(&[]).unwrap(), Vec::<String>::new());
        assert_eq!(read(&["A:^1,B:^2", "C:*"]).unwrap(), ["A:^1", "B:^2", "C:*"]);
        assert_eq!(read(&["A:>=1, <3,urn:b:~1.2"]).unwrap(), ["A:>=1, <3", "urn:b:~1.2"]);
        assert!(read(&["A:^1", "A:^2"]).unwrap_err().contains("twice"));
        for wrong in ["", "A", "A:^1,", "A:^1,<", "A:new"] {
            assert!(read(&[wrong]).is_err(), "{wrong}");
        }
    }
}
