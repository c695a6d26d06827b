//! What is asked of the log ([`Append`]) and what comes of it ([`AppendOutcome`]).

use uuid::Uuid;

mod check;

pub use check::{check_consumer_name, check_traceparent};

use crate::event::{EventId, NewEvent};
use crate::names::{EventType, StreamName, Tag, Tags};
use crate::place::{Checkpoint, Partition, Place, Position, Version};
use crate::schemas::{Generation, Judged, SchemaViolation, Verdict};
use crate::store::{Epochs, ReadError};

/// What a writer expects of a stream before its events are added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ExpectedVersion {
    /// Whatever there is.
    #[default]
    Any,
    /// The stream must not exist.
    None,
    /// The stream must exist.
    Exists,
    /// The stream's version must be this.
    Exact(Version),
}

impl ExpectedVersion {
    /// Whether a stream whose version is `current` is what was expected.
    pub fn is_met_by(self, current: Option<Version>) -> bool {
        match self {
            ExpectedVersion::Any => true,
            ExpectedVersion::None => current.is_none(),
            ExpectedVersion::Exists => current.is_some(),
            ExpectedVersion::Exact(version) => current == Some(version),
        }
    }
}

impl std::fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExpectedVersion::Any => f.write_str("any"),
            ExpectedVersion::None => f.write_str("none"),
            ExpectedVersion::Exists => f.write_str("exists"),
            ExpectedVersion::Exact(version) => version.fmt(f),
        }
    }
}

impl std::str::FromStr for ExpectedVersion {
    type Err = InvalidAppend;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "any" => ExpectedVersion::Any,
            "none" => ExpectedVersion::None,
            "exists" => ExpectedVersion::Exists,
            number if number.bytes().all(|b| b.is_ascii_digit()) => ExpectedVersion::Exact(Version(
                number
                    .parse()
                    .map_err(|_| InvalidAppend::new("expected", "must be `any`, `none`, `exists` or a version"))?,
            )),
            _ => return Err(InvalidAppend::new("expected", "must be `any`, `none`, `exists` or a version")),
        })
    }
}

/// One item of a [`Query`]: any of the types and all of the tags. An empty list asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct QueryItem {
    /// The event has one of these types.
    pub types: Vec<EventType>,
    /// The event has all of these tags.
    pub tags: Vec<Tag>,
}

impl QueryItem {
    /// Whether an event with this type and these tags matches.
    pub fn matches(&self, event_type: &EventType, tags: &Tags) -> bool {
        (self.types.is_empty() || self.types.contains(event_type)) && self.tags.iter().all(|tag| tags.contains(tag))
    }
}

/// Events that match any of the items.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Query {
    /// The alternatives.
    pub items: Vec<QueryItem>,
}

impl Query {
    /// Whether an event with this type and these tags matches.
    pub fn matches(&self, event_type: &EventType, tags: &Tags) -> bool {
        self.items.iter().any(|item| item.matches(event_type, tags))
    }
}

/// "No event matching this query after this checkpoint." The field calls it a dynamic consistency boundary.
///
/// It is checked in the partition the append goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// What must not be there.
    pub query: Query,
    /// After where it must not be; `None` looks at the whole log.
    pub after: Option<Checkpoint>,
}

impl Condition {
    /// The bytes it counts for in a bounded queue.
    pub(crate) fn len(&self) -> usize {
        let item = |item: &QueryItem| {
            let types = item.types.iter().map(|event_type| event_type.as_str().len() + 32);
            types.chain(item.tags.iter().map(|tag| tag.as_str().len() + 32)).sum::<usize>()
        };
        self.query.items.iter().map(item).sum::<usize>() + 64
    }
}

/// The checkpoint of the consumer that made an append: both commit together, and it must advance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tracking {
    /// The consumer.
    pub name: String,
    /// Up to where it has consumed.
    pub checkpoint: Checkpoint,
}

/// The events for one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamWrite {
    /// The stream.
    pub stream: StreamName,
    /// What the writer expects of it.
    pub expected: ExpectedVersion,
    /// The events, at least one, in order.
    pub events: Vec<NewEvent>,
}

/// One or more stream writes, all or none. A value of this type is valid: it was checked against the [limits](crate::Limits).
///
/// ```
/// use pacioli_core::{Append, EventId, EventType, ExpectedVersion, Limits, NewEvent, StreamName, Timestamp};
///
/// let opened = NewEvent::json(EventId(uuid::Uuid::from_u128(1)), EventType::new("AccountOpened")?, &b"{}"[..]);
/// let append = Append::to(StreamName::new("account-42")?, ExpectedVersion::None, vec![opened])
///     .check(&Limits::default(), Timestamp::from_micros(0), 1)?;
/// assert_eq!(append.events(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Append {
    request: AppendRequest,
    partition: Partition,
    events: usize,
    bytes: usize,
    content: Option<ContentHash>,
    judged: Judged,
}

/// SHA-256 of what an append asks to store: streams and events as sent, without ids and without expectations.
pub type ContentHash = [u8; 32];

/// An append as it came, not checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppendRequest {
    /// Recognises the request when its event ids are made anew.
    pub key: Option<Uuid>,
    /// The writes, at least one, each to another stream.
    pub writes: Vec<StreamWrite>,
    /// What must not be in the log.
    pub condition: Option<Condition>,
    /// The consumer's checkpoint that commits with it.
    pub tracking: Option<Tracking>,
}

/// A field of an append that was refused before anything was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidAppend {
    /// The field, like `writes[0].events[3].data`.
    pub field: String,
    /// What is wrong and what to do.
    pub problem: String,
    /// Whether it is over a limit (413) rather than malformed (400).
    pub over_limit: bool,
}

impl InvalidAppend {
    /// A malformed field.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> InvalidAppend {
        InvalidAppend { field: field.into(), problem: problem.into(), over_limit: false }
    }

    fn over(field: impl Into<String>, problem: impl Into<String>) -> InvalidAppend {
        InvalidAppend { over_limit: true, ..InvalidAppend::new(field, problem) }
    }
}

impl Append {
    /// Starts an append of events to one stream.
    pub fn to(stream: StreamName, expected: ExpectedVersion, events: Vec<NewEvent>) -> AppendRequest {
        AppendRequest { writes: vec![StreamWrite { stream, expected, events }], ..AppendRequest::default() }
    }

    /// The idempotency key.
    pub fn key(&self) -> Option<Uuid> {
        self.request.key
    }

    /// The writes: at least one, each to another stream, all in one partition.
    pub fn writes(&self) -> &[StreamWrite] {
        &self.request.writes
    }

    /// What must not be in the log.
    pub fn condition(&self) -> Option<&Condition> {
        self.request.condition.as_ref()
    }

    /// The consumer's checkpoint.
    pub fn tracking(&self) -> Option<&Tracking> {
        self.request.tracking.as_ref()
    }

    /// The partition all its streams live in.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// How many events it has.
    pub fn events(&self) -> usize {
        self.events
    }

    /// How many bytes it counts for in a bounded queue.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The hash of its content, where it has a key.
    pub fn content(&self) -> Option<&ContentHash> {
        self.content.as_ref()
    }

    /// Keeps what the schema gate said of it, in the place of what it said before.
    pub fn set_judged(&mut self, judged: Judged) {
        if let Verdict::Passed(versions) = &judged.verdict {
            assert!(
                versions.is_empty() || versions.len() == self.events,
                "the gate gives each event a version, or none"
            );
        }
        self.judged = judged;
    }

    /// Under which generation of the registry it was judged.
    pub fn generation(&self) -> Generation {
        self.judged.generation
    }

    /// Why the schema gate refuses it; `None` where it does not.
    pub fn violation(&self) -> Option<&SchemaViolation> {
        match &self.judged.verdict {
            Verdict::Passed(_) => None,
            Verdict::Violated(violation) => Some(violation),
        }
    }

    /// Refuses checkpoints that this log never had: past the head, rewound, or of another store. A condition after one
    /// could never see what it asks for, and a consumer that stood at one could never advance.
    pub fn check_checkpoints(&self, epochs: &Epochs, heads: &Checkpoint) -> Result<(), InvalidAppend> {
        let condition = self.condition().and_then(|condition| condition.after.as_ref());
        let tracking = self.tracking().map(|tracking| &tracking.checkpoint);
        for (field, checkpoint) in [("condition.after", condition), ("tracking.checkpoint", tracking)] {
            let Some(checkpoint) = checkpoint else { continue };
            let problem = match epochs.resolve(Some(checkpoint), heads) {
                Ok(_) => continue,
                Err(ReadError::Invalid { problem, .. }) => problem,
                Err(error) => error.to_string(),
            };
            return Err(InvalidAppend::new(field, problem));
        }
        Ok(())
    }

    /// The request, to be sent on.
    pub fn request(&self) -> &AppendRequest {
        &self.request
    }

    /// Takes the append apart.
    pub fn into_request(self) -> AppendRequest {
        self.request
    }

    /// Takes the append apart: what was asked, and the schema version that each event gets (empty: the one it says, or 1).
    pub(crate) fn into_parts(self) -> (AppendRequest, Box<[u32]>) {
        match self.judged.verdict {
            Verdict::Passed(versions) => (self.request, versions),
            Verdict::Violated(_) => unreachable!("what the gate refuses is never accepted"),
        }
    }
}

impl AppendRequest {
    /// Adds a write to another stream.
    #[must_use]
    pub fn and(mut self, stream: StreamName, expected: ExpectedVersion, events: Vec<NewEvent>) -> AppendRequest {
        self.writes.push(StreamWrite { stream, expected, events });
        self
    }

    /// Sets the idempotency key.
    #[must_use]
    pub fn key(mut self, key: Uuid) -> AppendRequest {
        self.key = Some(key);
        self
    }

    /// Sets the condition.
    #[must_use]
    pub fn unless(mut self, query: Query, after: Option<Checkpoint>) -> AppendRequest {
        self.condition = Some(Condition { query, after });
        self
    }

    /// Sets the consumer's checkpoint.
    #[must_use]
    pub fn tracking(mut self, name: impl Into<String>, checkpoint: Checkpoint) -> AppendRequest {
        self.tracking = Some(Tracking { name: name.into(), checkpoint });
        self
    }
}

/// What one write of an append got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamAppended {
    /// The stream.
    pub stream: StreamName,
    /// The version of the first event.
    pub first_version: Version,
    /// The version of the last event, which is now (or was then) the stream's.
    pub last_version: Version,
}

/// The answer to an append that is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// One entry a write, in the order of the request.
    pub streams: Vec<StreamAppended>,
    /// The partition all of it went to.
    pub partition: Partition,
    /// The lowest position it took.
    pub first_position: Position,
    /// The highest position it took.
    pub last_position: Position,
    /// Not before this checkpoint a reader sees it all; other partitions stand at their start.
    pub checkpoint: Checkpoint,
    /// Whether it was there already, and nothing was stored now.
    pub duplicate: bool,
}

/// Why an append did not fit what the log holds. Read again, decide again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Some of the events are known and some are new, or the known ones do not lie as one run in their stream.
    Ids {
        /// The events that are in the log already.
        known: Vec<EventId>,
    },
    /// The consumer's checkpoint would not advance: it, or another instance of it, was here before.
    Tracking {
        /// The consumer.
        name: String,
        /// Where it stands.
        current: Checkpoint,
    },
    /// The stream is not at the version that was expected.
    ExpectedVersion {
        /// The stream.
        stream: StreamName,
        /// What was expected.
        expected: ExpectedVersion,
        /// Its version now; `None` where there is no such stream.
        current: Option<Version>,
    },
    /// An event matches the condition.
    Condition {
        /// Where the first one lies.
        matched: Place,
    },
}

/// Why an append is refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The key was used for another request.
    KeyReused {
        /// The key.
        key: Uuid,
    },
    /// An event is not what its schema says, or says a version that is not registered.
    BySchema(Box<SchemaViolation>),
    /// A projection that runs in the append's transaction failed on one of its events.
    ByProjection {
        /// The projection.
        projection: String,
        /// What the database said.
        reason: String,
    },
    /// The event id was used for another event.
    IdReused {
        /// The id.
        id: EventId,
        /// The stream that holds it.
        stream: StreamName,
        /// Its version there.
        version: Version,
    },
}

/// What became of an append. A conflict is an outcome, not an error: an error means that the outcome is unknown or that
/// the request was never considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// It is in the log, durable.
    Appended(Appended),
    /// It does not fit what the log holds; nothing was stored.
    Conflict(Conflict),
    /// Its key or an id stands for other content, an event is not what its schema says, or a `sync` projection failed on it;
    /// nothing was stored.
    Refused(Refusal),
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Conflict::Ids { known } => {
                write!(f, "{} of the events are in the log already and the others are not (known:", known.len())?;
                for id in known.iter().take(5) {
                    write!(f, " {id}")?;
                }
                f.write_str("); send an append again as it was, or give new events new ids")
            }
            Conflict::Tracking { name, current } => {
                write!(f, "consumer `{name}` stands at {current} already; the append's checkpoint would not advance it")
            }
            Conflict::ExpectedVersion { stream, expected, current } => {
                match expected {
                    ExpectedVersion::None => write!(f, "stream `{stream}` was expected not to exist")?,
                    ExpectedVersion::Exists => write!(f, "stream `{stream}` was expected to exist")?,
                    other => write!(f, "stream `{stream}` was expected at version {other}")?,
                }
                match current {
                    Some(version) => write!(f, " but is at version {version}; read it again and decide again"),
                    None => f.write_str(" but does not exist"),
                }
            }
            Conflict::Condition { matched } => {
                write!(f, "an event that matches the condition lies at {matched}; read again and decide again")
            }
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::KeyReused { key } => {
                write!(
                    f,
                    "idempotency key {key} was used for an append with other content; use a new key for a new append"
                )
            }
            Refusal::BySchema(violation) => violation.fmt(f),
            Refusal::ByProjection { projection, reason } => {
                write!(
                    f,
                    "the sync projection `{projection}` refuses it: {reason}; nothing was stored: mend the event, or the projection"
                )
            }
            Refusal::IdReused { id, stream, version } => {
                write!(
                    f,
                    "event id {id} belongs to another event, version {version} of `{stream}`; give new events new ids"
                )
            }
        }
    }
}
