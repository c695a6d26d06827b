//! The contract every engine keeps, and the client too.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::append::{AppendOutcome, AppendRequest, InvalidAppend};
use crate::event::RecordedEvent;
use crate::lease::{Lease, LeaseOutcome};
use crate::names::{Category, EventType, StreamName, Tag, Tags};
use crate::place::{Checkpoint, Epoch, Partition, Place, Version};
use crate::schemas::Withheld;
use crate::subscription::{Delivery, Subscribe};

/// An event store: append, read, subscribe.
///
/// ```text
///   one partition            position   1    2    3    4    5    6    7
///                                     ┌────┬────┬────┬────┬────┬────┐
///   the log                           │ a0 │ b0 │ a1 │ a2 │ c0 │ b1 │     a, b, c: streams, each with its version
///                                     └────┴────┴────┴────┴────┴────┘
///   checkpoint 0:3  ───────────────────────────────┘              │
///     "1 to 3 are taken; next is 4"                               └── head 0:6, the last that is committed and visible
/// ```
///
/// 1. An acknowledged append is durable and survives kill -9 and power loss.
/// 2. Positions are gapless and in commit order in each partition, versions are gapless in each stream.
/// 3. Who reads after checkpoint C misses nothing and sees nothing twice, however it was woken.
/// 4. A conflict is an outcome. An error says that nothing was stored, but for [`AppendError::Unknown`].
/// 5. A retry is safe: an event's id, or the append's key, gives the original answer.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Appends all of it or none. See [`mod@crate::decide`] for the rule.
    async fn append(&self, append: AppendRequest) -> Result<AppendOutcome, AppendError>;

    /// Reads a page of one stream.
    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError>;

    /// Reads a page of the log. Partitions are read in turn; within a partition events come in position order.
    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError>;

    /// Reads from a checkpoint to the head and then follows the head, for ever. Dropping the stream ends it.
    async fn subscribe(&self, subscribe: Subscribe) -> Result<Deliveries, ReadError>;

    /// What is known of one stream; `None` where there is none.
    async fn stream(&self, stream: &StreamName) -> Result<Option<StreamInfo>, ReadError>;

    /// Lists streams in the order in which they began.
    async fn list_streams(&self, list: ListStreams) -> Result<StreamsPage, ReadError>;

    /// The head of every partition, asked of the storage.
    async fn head(&self) -> Result<Checkpoint, ReadError>;

    /// Whether the store takes appends and answers reads.
    ///
    /// # Errors
    /// Why it does not, and what to do.
    async fn ready(&self) -> Result<(), ReadError> {
        self.head().await.map(|_| ())
    }

    /// Which way the events that others append reach the live subscribers of this handle.
    fn bus(&self) -> Bus {
        Bus::Memory
    }

    /// What the engine counts about itself, for metrics; empty where it counts nothing.
    fn measures(&self) -> Vec<Measure> {
        Vec::new()
    }

    /// Where a tracked consumer stands; `None` where it never appended.
    async fn tracking(&self, name: &str) -> Result<Option<Checkpoint>, ReadError>;

    /// Takes or renews a lease for `time_to_live`.
    async fn acquire_lease(&self, name: &str, owner: &str, time_to_live: Duration) -> Result<LeaseOutcome, ReadError>;

    /// Gives a lease back; false where it was not held under this token any more.
    async fn release_lease(&self, lease: &Lease) -> Result<bool, ReadError>;

    /// Writes a consistent copy of the whole store to a new file while appends go on; returns its bytes.
    ///
    /// # Errors
    /// [`ReadError::Unsupported`] where the engine has no files.
    async fn backup(&self, to: &Path) -> Result<u64, ReadError>;
}

/// What a subscription delivers, one after the other. After an error the stream ends.
pub type Deliveries = BoxStream<'static, Result<Delivery, ReadError>>;

/// Which way events come to live subscribers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bus {
    /// This process is the only one that appends, and hands over what it appended.
    Memory,
    /// A logical replication slot says at once what others appended.
    Slot,
    /// The store looks again and again.
    Polling {
        /// Why there is no slot, and what would make one possible.
        why: String,
    },
}

impl Bus {
    /// One word for headers, labels and reports.
    pub fn word(&self) -> &'static str {
        match self {
            Bus::Memory => "memory",
            Bus::Slot => "slot",
            Bus::Polling { .. } => "polling",
        }
    }

    /// The way that a [word](Bus::word) stands for, as a server tells it to its clients; `None` for any other word.
    pub fn from_word(word: &str) -> Option<Bus> {
        Some(match word {
            "memory" => Bus::Memory,
            "slot" => Bus::Slot,
            "polling" => Bus::Polling { why: "the server polls, and knows why: see its log or its metrics".to_owned() },
            _ => return None,
        })
    }
}

/// One number that an engine keeps about itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// Its name in metrics, in snake case, with its unit.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// How much it is now.
    pub value: f64,
}

/// How much of each event a reader wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PayloadChoice {
    /// All of it.
    #[default]
    All,
    /// The envelope only: `data` comes back empty.
    None,
}

/// Which way to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    #[default]
    Forward,
    /// Newest first.
    Backward,
}

/// Which events of the log a reader wants. Empty lists ask nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// The stream's category is one of these.
    pub categories: Vec<Category>,
    /// The stream's name begins with this.
    pub stream_prefix: Option<String>,
    /// The type is one of these.
    pub types: Vec<EventType>,
    /// All of these tags are there.
    pub tags: Vec<Tag>,
}

impl Filter {
    /// Whether everything matches.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// Whether this event matches.
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        self.matches_parts(&event.stream, &event.event_type, &event.tags)
    }

    /// Whether an event with these parts matches.
    pub fn matches_parts(&self, stream: &StreamName, event_type: &EventType, tags: &Tags) -> bool {
        (self.categories.is_empty() || self.categories.iter().any(|category| category.as_str() == stream.category()))
            && self.stream_prefix.as_deref().is_none_or(|prefix| stream.as_str().starts_with(prefix))
            && (self.types.is_empty() || self.types.contains(event_type))
            && self.tags.iter().all(|tag| tags.contains(tag))
    }
}

/// A page of one stream, please.
#[derive(Clone, Debug)]
pub struct ReadStream {
    /// The stream.
    pub stream: StreamName,
    /// The version to begin with; `None` is the stream's start forward and its end backward.
    pub from: Option<Version>,
    /// Which way.
    pub direction: Direction,
    /// Events at most; the store may return fewer, see [`StreamPage::next`].
    pub limit: usize,
    /// How much of each event.
    pub payload: PayloadChoice,
}

/// A page of one stream.
#[derive(Clone, Debug)]
pub struct StreamPage {
    /// The events in the direction asked for.
    pub events: Vec<Arc<RecordedEvent>>,
    /// The version to go on from; `None` at the end.
    pub next: Option<Version>,
    /// The stream's version when the page was read.
    pub version: Version,
}

/// A page of the log, please.
#[derive(Clone, Debug)]
pub struct ReadLog {
    /// After where; `None` is the start.
    pub after: Option<Checkpoint>,
    /// Which events.
    pub filter: Filter,
    /// Events at most; the store may return fewer, see [`LogPage::at_head`].
    pub limit: usize,
    /// How much of each event.
    pub payload: PayloadChoice,
}

/// A page of the log.
#[derive(Clone, Debug)]
pub struct LogPage {
    /// The events, each partition's in position order.
    pub events: Vec<Arc<RecordedEvent>>,
    /// Where the page began.
    pub from: Checkpoint,
    /// Where to go on: everything up to here was looked at, whether it matched or not.
    pub checkpoint: Checkpoint,
    /// The head when the page was read.
    pub head: Checkpoint,
}

impl LogPage {
    /// Whether the page reaches the head.
    pub fn at_head(&self) -> bool {
        self.checkpoint.covers(&self.head)
    }
}

/// Pairs each event with the checkpoint of a reader that has taken everything up to it, beginning at `from`.
pub fn with_checkpoints<'a>(
    from: &Checkpoint,
    events: &'a [Arc<RecordedEvent>],
) -> impl Iterator<Item = (Checkpoint, &'a Arc<RecordedEvent>)> + use<'a> {
    let mut checkpoint = from.clone();
    events.iter().map(move |event| {
        checkpoint.advance(event.partition, event.position);
        (checkpoint.clone(), event)
    })
}

/// What is known of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name.
    pub stream: StreamName,
    /// The version of its last event.
    pub version: Version,
    /// The partition it lives in.
    pub partition: Partition,
}

/// A page of streams, please.
#[derive(Clone, Debug, Default)]
pub struct ListStreams {
    /// Of this category only.
    pub category: Option<Category>,
    /// Whose name begins with this only.
    pub prefix: Option<String>,
    /// Go on after this cursor of an earlier page.
    pub after: Option<u64>,
    /// Streams at most.
    pub limit: usize,
}

impl ListStreams {
    /// Whether this stream is asked for.
    pub fn matches(&self, stream: &StreamName) -> bool {
        self.category.as_ref().is_none_or(|category| category.as_str() == stream.category())
            && self.prefix.as_deref().is_none_or(|prefix| stream.as_str().starts_with(prefix))
    }
}

/// A page of streams.
#[derive(Clone, Debug)]
pub struct StreamsPage {
    /// The streams, in the order in which they began.
    pub streams: Vec<StreamInfo>,
    /// The cursor to go on with; `None` at the end.
    pub next: Option<u64>,
}

/// The storage failed, or cannot do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct StoreError {
    /// What happened and what to do next, in one sentence.
    pub reason: String,
    /// Whether it is room that is missing: the same request will do once there is some.
    pub is_full: bool,
}

impl StoreError {
    /// An error that says `reason`.
    pub fn new(reason: impl Into<String>) -> StoreError {
        StoreError { reason: reason.into(), is_full: false }
    }

    /// An error that says that there is no room left.
    pub fn full(reason: impl Into<String>) -> StoreError {
        StoreError { reason: reason.into(), is_full: true }
    }
}

/// Why an append has no outcome.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The request is malformed or over a limit. Nothing was stored; mend it.
    #[error(transparent)]
    Invalid(#[from] InvalidAppend),
    /// Too much waits already. Nothing was stored; try again later.
    #[error("the store is overloaded: too many appends wait; try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The store is going away. Nothing was stored; try again later.
    #[error("the store is shutting down; send the append again when it is back")]
    ShuttingDown,
    /// The caller may not append here. Nothing was stored.
    #[error("{reason}")]
    Denied {
        /// Why, and what would help.
        reason: String,
    },
    /// The storage refused the write (a full disk). Nothing was stored; reads go on.
    #[error("nothing was stored: {0}")]
    Store(StoreError),
    /// Nobody knows whether it was stored. Send the same request again: its ids and key make that safe.
    #[error("the outcome is unknown ({reason}); send the same request again, its ids and key make that safe")]
    Unknown {
        /// What was lost.
        reason: String,
    },
}

/// Why a read has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such stream.
    #[error("there is no stream `{stream}`")]
    StreamNotFound {
        /// The stream.
        stream: StreamName,
    },
    /// A part of the request is malformed.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The log was rewound to before the reader's checkpoint. Go on from `to`, and undo what came from after it.
    #[error("the log was rewound to {to}: what was read after it is no longer in the log; go on from there")]
    Rewound {
        /// The last checkpoint that is common to the reader's past and the log.
        to: Checkpoint,
    },
    /// The next event has a shape that the reader does not understand, and it did not ask to skip those.
    #[error("{0}")]
    Withheld(Box<Withheld>),
    /// A stored event does not match its hash. Nothing is repaired or skipped by itself.
    #[error("the event at {place} is damaged in storage ({problem}); restore it from a backup")]
    Damaged {
        /// Where.
        place: Place,
        /// What does not fit.
        problem: String,
    },
    /// The caller may not read here.
    #[error("{reason}")]
    Denied {
        /// Why, and what would help.
        reason: String,
    },
    /// This engine cannot do that.
    #[error("{reason}")]
    Unsupported {
        /// What it cannot do, and what can.
        reason: String,
    },
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The epochs of a store: the current one, and at which heads each later one began.
#[derive(Clone, Debug)]
pub struct Epochs {
    began: Vec<(Epoch, Checkpoint)>,
}

impl Epochs {
    /// A store's history: each epoch after the first, with the heads at which it began, oldest first.
    pub fn new(began: Vec<(Epoch, Checkpoint)>) -> Epochs {
        assert!(began.windows(2).all(|pair| pair[0].0 < pair[1].0), "epochs only grow");
        Epochs { began }
    }

    /// The current epoch.
    pub fn current(&self) -> Epoch {
        self.began.last().map_or(Epoch::FIRST, |(epoch, _)| *epoch)
    }

    /// Turns a reader's checkpoint into one of today, or says why it cannot be: another store's, rewound, past the head.
    pub fn resolve(&self, after: Option<&Checkpoint>, head: &Checkpoint) -> Result<Checkpoint, ReadError> {
        let current = self.current();
        let Some(after) = after else { return Ok(Checkpoint::start(head.partitions(), current)) };
        let invalid = |problem: String| Err(ReadError::Invalid { field: "after", problem });
        if after.partitions() != head.partitions() {
            return invalid(format!(
                "`{after}` speaks of {} partitions and this store has {}; is it from another store?",
                after.partitions(),
                head.partitions()
            ));
        }
        if after.epoch() > current {
            return invalid(format!("`{after}` is of an epoch this store never had; is it from another store?"));
        }
        let rewinds = self.began.iter().filter(|(epoch, _)| *epoch > after.epoch());
        let lowest = rewinds.fold(after.clone(), |lowest, (_, began)| {
            let place = |place: Place| place.position.min(began.position(place.partition));
            Checkpoint::new(lowest.iter().map(place), current)
        });
        if !lowest.covers(after) {
            return Err(ReadError::Rewound { to: lowest });
        }
        if !head.covers(after) {
            return invalid(format!("`{after}` lies past the head, {head}; is it from another store?"));
        }
        Ok(after.clone().in_epoch(current))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Checkpoint {
        text.parse().unwrap()
    }

    #[test]
    fn a_checkpoint_is_resolved_or_refused() {
        let epochs = Epochs::new(vec![(Epoch(2), at("0:5")), (Epoch(3), at("0:8@2"))]);
        let resolve = |after: &str| epochs.resolve(Some(&at(after)), &at("0:10@3"));
        assert_eq!(resolve("0:4").unwrap(), at("0:4@3"));
        assert_eq!(resolve("0:10@3").unwrap(), at("0:10@3"));
        assert!(matches!(resolve("0:6"), Err(ReadError::Rewound { to }) if to == at("0:5@3")));
        assert!(matches!(resolve("0:9@2"), Err(ReadError::Rewound { to }) if to == at("0:8@3")));
        for wrong in ["0:11@3", "0:1,1:1@3", "0:1@4"] {
            assert!(matches!(resolve(wrong), Err(ReadError::Invalid { .. })), "{wrong}");
        }
        // Ahead of the head in an old epoch is told as a rewind, not as a mistake.
        assert!(matches!(resolve("0:11@2"), Err(ReadError::Rewound { .. })));
    }
}
