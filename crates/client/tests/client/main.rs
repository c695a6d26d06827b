//! The client against a server on a real port, over a network that breaks.

#![expect(clippy::unwrap_used, reason = "a test says that it failed by a panic")]

mod appender;
mod backup;
mod errors;
mod http;
mod lost_answers;
mod reads;
mod services;
mod subscriptions;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod tokens;

use std::sync::atomic::{AtomicU64, Ordering};

use pacioli_core::{
    Append, AppendOutcome, AppendRequest, Appended, EventId, EventStore, EventType, ExpectedVersion, NewEvent,
    PayloadChoice, ReadLog, StreamName,
};
use uuid::Uuid;

/// An event with an id of its own.
fn event(data: &str) -> NewEvent {
    static IDS: AtomicU64 = AtomicU64::new(1);
    let id = Uuid::from_u128(IDS.fetch_add(1, Ordering::Relaxed).into());
    NewEvent::json(EventId(id), EventType::new("Noted").unwrap(), data.to_owned())
}

/// An append of one event.
fn note(stream: &str, data: &str) -> AppendRequest {
    Append::to(StreamName::new(stream).unwrap(), ExpectedVersion::Any, vec![event(data)])
}

fn appended(outcome: AppendOutcome) -> Appended {
    match outcome {
        AppendOutcome::Appended(appended) => appended,
        other => panic!("expected it to be appended: {other:?}"),
    }
}

fn whole_log() -> ReadLog {
    ReadLog { after: None, filter: Default::default(), limit: usize::MAX, payload: PayloadChoice::All }
}

/// How many events the store holds.
async fn events(store: &dyn EventStore) -> u64 {
    store.head().await.unwrap().iter().map(|place| place.position.0).sum()
}
