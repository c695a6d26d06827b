//! What the tests share.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pacioli_core::{
    Append, AppendOutcome, Appended, EventId, EventStore, EventType, ExpectedVersion, Filter, NewEvent, PayloadChoice,
    ReadLog, RecordedEvent, StreamName, Tag, Tags,
};
use pacioli_sqlite::{SqliteOptions, SqliteStore};
use uuid::Uuid;

/// Opens a store. One that was dropped a moment ago may still be let go of by a thread that had a last look at it.
pub(crate) fn open(directory: &Path) -> SqliteStore {
    let began = Instant::now();
    loop {
        match SqliteStore::open(directory, SqliteOptions::default()) {
            Err(error) if error.reason.contains("is in use") && began.elapsed() < Duration::from_secs(5) => {
                std::thread::yield_now();
            }
            opened => return opened.expect("the store opens"),
        }
    }
}

pub(crate) fn stream(name: &str) -> StreamName {
    StreamName::new(name).expect("a valid name")
}

pub(crate) fn event(id: u128, event_type: &str) -> NewEvent {
    let data = format!("{{\"n\":{id},\"note\":\"{}\"}}", "x".repeat(100));
    NewEvent::json(EventId(Uuid::from_u128(id)), EventType::new(event_type).expect("a valid type"), data)
}

pub(crate) fn tagged(id: u128, tag: &str) -> NewEvent {
    NewEvent { tags: Tags::new([Tag::new(tag).expect("a valid tag")]).expect("valid tags"), ..event(id, "Tagged") }
}

pub(crate) async fn append(store: &SqliteStore, name: &str, events: Vec<NewEvent>) -> Appended {
    match store.append(Append::to(stream(name), ExpectedVersion::Any, events)).await.expect("an outcome") {
        AppendOutcome::Appended(appended) => appended,
        other => panic!("{other:?}"),
    }
}

/// Appends `count` events of one each to `streams` streams, many in flight.
pub(crate) async fn fill(store: &SqliteStore, first_id: u128, count: u128, streams: u128) {
    let mut waiting = Vec::new();
    for id in first_id..first_id + count {
        let store = store.clone();
        waiting.push(tokio::spawn(async move {
            append(&store, &format!("filled-{}", id % streams), vec![event(id, "Filled")]).await;
        }));
        if waiting.len() == 1_000 {
            for task in waiting.drain(..) {
                task.await.expect("an append");
            }
        }
    }
    for task in waiting {
        task.await.expect("an append");
    }
}

pub(crate) async fn whole_log(store: &SqliteStore, filter: Filter) -> Vec<Arc<RecordedEvent>> {
    let (mut after, mut events) = (None, Vec::new());
    loop {
        let read = ReadLog { after, filter: filter.clone(), limit: 1_000, payload: PayloadChoice::All };
        let page = store.read_log(read).await.expect("a page");
        events.extend(page.events.iter().cloned());
        if page.at_head() {
            return events;
        }
        after = Some(page.checkpoint);
    }
}
