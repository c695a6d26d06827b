//! The values that an event gives to the statements of its projection.
//!
//! Numbers of JSON keep what they are: whole numbers are INTEGER, those beyond 64 bits TEXT with all their digits (an id
//! must not become another one by rounding), all others REAL. Times and ids are TEXT.

use std::cell::OnceCell;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use pacioli_core::RecordedEvent;
use pacioli_projection::file::Source;

use super::paths::Paths;
use super::text::time;

/// Where a parameter of a statement takes its value from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A column of the relation `batch` of the same name.
    Field(Field),
    /// The path with this number.
    Path(usize),
}

/// What is known of every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Partition,
    Position,
    Stream,
    Category,
    Key,
    Version,
    Type,
    SchemaVersion,
    Id,
    Data,
    Metadata,
    Tags,
    Actor,
    OccurredAt,
    RecordedAt,
}

impl Field {
    /// All of them with the names they have in SQL, in the order of the relation `batch`.
    pub(crate) const ALL: [(&'static str, Field); 15] = [
        ("partition", Field::Partition),
        ("position", Field::Position),
        ("stream", Field::Stream),
        ("category", Field::Category),
        ("key", Field::Key),
        ("version", Field::Version),
        ("type", Field::Type),
        ("schema_version", Field::SchemaVersion),
        ("id", Field::Id),
        ("data", Field::Data),
        ("metadata", Field::Metadata),
        ("tags", Field::Tags),
        ("actor", Field::Actor),
        ("occurred_at", Field::OccurredAt),
        ("recorded_at", Field::RecordedAt),
    ];
}

impl Slot {
    /// The slot of a named value; a path gets a number.
    pub(crate) fn of(source: &Source, paths: &mut Paths) -> Slot {
        Slot::Field(match source {
            Source::Stream => Field::Stream,
            Source::Category => Field::Category,
            Source::Key => Field::Key,
            Source::Type => Field::Type,
            Source::Version => Field::Version,
            Source::Partition => Field::Partition,
            Source::Position => Field::Position,
            Source::SchemaVersion => Field::SchemaVersion,
            Source::Id => Field::Id,
            Source::RecordedAt => Field::RecordedAt,
            Source::OccurredAt => Field::OccurredAt,
            Source::Actor => Field::Actor,
            Source::Data => Field::Data,
            Source::Metadata => Field::Metadata,
            Source::Path(steps) => return Slot::Path(paths.number(steps)),
        })
    }
}

/// An event, and what its paths lead to.
pub(crate) struct EventValues<'e> {
    event: &'e RecordedEvent,
    /// The data, where it is JSON.
    data: Option<&'e str>,
    found: Vec<Option<&'e str>>,
    occurred_at: OnceCell<String>,
    recorded_at: OnceCell<String>,
}

impl<'e> EventValues<'e> {
    /// The values of an event.
    pub(crate) fn new(event: &'e RecordedEvent, paths: &Paths) -> EventValues<'e> {
        let mut found = Vec::new();
        // What the log holds as JSON was checked when it was appended: it is UTF-8, and it can be parsed.
        let data = event.data.is_json().then(|| std::str::from_utf8(event.data.bytes()).ok()).flatten();
        if data.is_none_or(|json| paths.look_up(json, &mut found).is_err()) {
            found = paths.nothing();
        }
        EventValues { event, data, found, occurred_at: OnceCell::new(), recorded_at: OnceCell::new() }
    }

    /// The value of `slot` as SQLite gets it.
    pub(crate) fn get(&self, slot: Slot) -> ToSqlOutput<'_> {
        let event = self.event;
        match slot {
            Slot::Path(number) => self.found[number].map_or(NULL, of_json),
            Slot::Field(field) => match field {
                Field::Partition => integer(i64::from(event.partition.0)),
                Field::Position => integer(event.position.0 as i64),
                Field::Stream => text(event.stream.as_str()),
                Field::Category => text(event.stream.category()),
                Field::Key => text(event.stream.key()),
                Field::Version => integer(event.version.0 as i64),
                Field::Type => text(event.event_type.as_str()),
                Field::SchemaVersion => integer(i64::from(event.schema_version)),
                Field::Id => owned(event.id.0.hyphenated().to_string()),
                Field::Data => self.data.map_or(NULL, text),
                Field::Metadata => event.metadata.to_json().map_or(NULL, owned),
                Field::Tags if event.tags.is_empty() => NULL,
                Field::Tags => owned(event.tags.joined()),
                Field::Actor => event.metadata.actor.as_deref().map_or(NULL, text),
                Field::OccurredAt => match event.occurred_at {
                    Some(occurred_at) => text(self.occurred_at.get_or_init(|| time(occurred_at))),
                    None => text(self.recorded_at()),
                },
                Field::RecordedAt => text(self.recorded_at()),
            },
        }
    }

    fn recorded_at(&self) -> &str {
        self.recorded_at.get_or_init(|| time(self.event.recorded_at))
    }
}

const NULL: ToSqlOutput<'static> = ToSqlOutput::Borrowed(ValueRef::Null);

fn integer(number: i64) -> ToSqlOutput<'static> {
    ToSqlOutput::Borrowed(ValueRef::Integer(number))
}

fn text(text: &str) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
}

fn owned(text: String) -> ToSqlOutput<'static> {
    ToSqlOutput::Owned(Value::Text(text))
}

/// What SQLite gets for a piece of JSON.
fn of_json(json: &str) -> ToSqlOutput<'_> {
    match json.as_bytes() {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => ToSqlOutput::Borrowed(ValueRef::Text(inner)),
        [b'"', ..] => serde_json::from_str(json).map_or(NULL, owned),
        [b'{' | b'[', ..] => text(json),
        [b't', ..] => integer(1),
        [b'f', ..] => integer(0),
        [b'-' | b'0'..=b'9', ..] => of_number(json),
        _ => NULL,
    }
}

fn of_number(json: &str) -> ToSqlOutput<'_> {
    if let Ok(whole) = json.parse::<i64>() {
        return integer(whole);
    }
    let is_whole = !json.bytes().any(|b| matches!(b, b'.' | b'e' | b'E'));
    match json.parse::<f64>() {
        Ok(real) if real.is_finite() && !is_whole => ToSqlOutput::Borrowed(ValueRef::Real(real)),
        _ => text(json),
    }
}
