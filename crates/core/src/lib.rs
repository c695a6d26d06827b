//! The vocabulary, the contract and the one decision rule of Pacioli.
//!
//! Read the modules in this order: [`place`] and [`names`] are the words, [`event`] and [`append`] are what is said with
//! them, [`mod@decide`] is the only rule that accepts or refuses an append, [`schemas`] is what it asks about the events'
//! shapes, [`store`] is the contract every engine keeps,
//! [`subscription`] is the one loop that reads it, and [`memory`] is the engine that teaches how to keep it.
//!
//! **Invariants.** This crate knows no SQL and no wire format, imports no sibling, and reads neither the clock nor
//! randomness by itself: both arrive as arguments ([`clock::Clock`]).

pub mod append;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod decide;
#[cfg(any(test, feature = "conformance"))]
pub mod decisions;
pub mod event;
pub mod group_commit;
pub mod json;
pub mod lease;
pub mod limits;
pub mod memory;
pub mod names;
pub mod place;
pub mod recent;
pub mod schemas;
pub mod store;
pub mod subscription;

pub use append::{
    Append, AppendOutcome, AppendRequest, Appended, Condition, Conflict, ExpectedVersion, InvalidAppend, Query,
    QueryItem, Refusal, StreamAppended, StreamWrite, Tracking,
};
pub use clock::{Clock, SystemClock};
pub use event::{EventId, Metadata, NewEvent, Payload, RecordedEvent, Timestamp};
pub use lease::{Lease, LeaseOutcome};
pub use limits::Limits;
pub use names::{Category, EventType, InvalidName, StreamName, Tag, Tags};
pub use place::{Checkpoint, Epoch, Partition, Place, Position, Version};
pub use store::{
    AppendError, Bus, Deliveries, Direction, EventStore, Filter, ListStreams, LogPage, Measure, PayloadChoice,
    ReadError, ReadLog, ReadStream, StoreError, StreamInfo, StreamPage, StreamsPage,
};
pub use subscription::{Delivery, Subscribe};
