//! What a check says to a store: the contract's calls, with the answers a check expects taken out of their results.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::follow::Follow;
use super::random::Random;
use crate::append::{
    Append, AppendOutcome, AppendRequest, Appended, Conflict, ExpectedVersion, InvalidAppend, Query, QueryItem,
};
use crate::event::{EventId, NewEvent, RecordedEvent};
use crate::names::{Category, EventType, StreamName, Tag, Tags};
use crate::place::{Checkpoint, Epoch, Version};
use crate::store::{
    AppendError, Direction, EventStore, Filter, ListStreams, PayloadChoice, ReadLog, ReadStream, StreamInfo, StreamPage,
};
use crate::subscription::Subscribe;

/// A recorded event as stores share it.
pub(super) type Event = Arc<RecordedEvent>;

/// Someone who uses a store and is surprised by every error that a check does not ask for.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) partitions: u16,
    pub(super) patience: Duration,
    pub(super) salt: u64,
    pub(super) made: Arc<AtomicU64>,
}

/// A stream's name.
pub(super) fn stream(name: impl Into<String>) -> StreamName {
    StreamName::new(name.into()).expect("the suite's own stream names are valid")
}

/// An event type.
pub(super) fn event_type(name: &str) -> EventType {
    EventType::new(name).expect("the suite's own event types are valid")
}

/// A tag.
pub(super) fn tag(text: &str) -> Tag {
    Tag::new(text).expect("the suite's own tags are valid")
}

/// A category.
pub(super) fn category(name: &str) -> Category {
    Category::new(name).expect("the suite's own categories are valid")
}

/// An item of a query: any of these types and all of these tags.
pub(super) fn item(types: &[&str], tags: &[&str]) -> QueryItem {
    QueryItem {
        types: types.iter().map(|name| event_type(name)).collect(),
        tags: tags.iter().map(|text| tag(text)).collect(),
    }
}

/// A query of these alternatives.
pub(super) fn query(items: impl IntoIterator<Item = QueryItem>) -> Query {
    Query { items: items.into_iter().collect() }
}

/// The event with these tags.
pub(super) fn tagged(event: NewEvent, tags: &[&str]) -> NewEvent {
    let tags = Tags::new(tags.iter().map(|text| tag(text))).expect("the suite's own tags are few and distinct");
    NewEvent { tags, ..event }
}

/// The ids of these events, in order.
pub(super) fn ids(events: &[Event]) -> Vec<EventId> {
    events.iter().map(|event| event.id).collect()
}

/// The answer of an append that is in the log now.
pub(super) fn appended(outcome: AppendOutcome) -> Appended {
    match outcome {
        AppendOutcome::Appended(appended) => appended,
        other => panic!("expected the append to be accepted, got {other:?}"),
    }
}

/// The answer of an append that was in the log before.
pub(super) fn duplicate(outcome: AppendOutcome) -> Appended {
    let answer = appended(outcome);
    assert!(answer.duplicate, "expected a duplicate that stores nothing, got {answer:?}");
    answer
}

/// Why an append did not fit.
pub(super) fn conflict(outcome: AppendOutcome) -> Conflict {
    match outcome {
        AppendOutcome::Conflict(conflict) => conflict,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

impl Client {
    pub(super) fn new(store: Arc<dyn EventStore>, partitions: u16, salt: u64, patience: Duration) -> Client {
        Client { store, partitions, patience, salt, made: Arc::default() }
    }

    /// An id that nobody used.
    pub(super) fn id(&self) -> Uuid {
        let mut random = Random::new(self.salt.wrapping_add(self.made.fetch_add(1, Ordering::Relaxed) << 20));
        let bytes = (u128::from(random.next()) << 64) | u128::from(random.next());
        // Version 4: an engine may take a version 7 at its word about when it was made.
        uuid::Builder::from_random_bytes(bytes.to_be_bytes()).into_uuid()
    }

    /// An event of this type, with an id and data of its own.
    pub(super) fn event(&self, name: &str) -> NewEvent {
        let number = self.made.load(Ordering::Relaxed);
        NewEvent::json(EventId(self.id()), event_type(name), format!("{{\"n\":{number}}}"))
    }

    /// Some events.
    pub(super) fn events(&self, count: usize) -> Vec<NewEvent> {
        (0..count).map(|_| self.event("Noted")).collect()
    }

    /// A request for some events at the end of a stream.
    pub(super) fn request(&self, name: &str, expected: ExpectedVersion, count: usize) -> AppendRequest {
        Append::to(stream(name), expected, self.events(count))
    }

    /// Sends an append; waits while the store says it is overloaded, and asks again while the outcome is unknown.
    pub(super) async fn append(&self, request: AppendRequest) -> AppendOutcome {
        loop {
            match self.store.append(request.clone()).await {
                Ok(outcome) => return outcome,
                Err(AppendError::Overloaded { retry_after }) => tokio::time::sleep(retry_after).await,
                Err(AppendError::Unknown { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => panic!("expected an outcome, got the error: {error}"),
            }
        }
    }

    /// Sends an append that must be accepted now.
    pub(super) async fn accepted(&self, request: AppendRequest) -> Appended {
        let answer = appended(self.append(request).await);
        assert!(!answer.duplicate, "expected a new append, got a duplicate: {answer:?}");
        answer
    }

    /// Adds some events to the end of a stream, whatever is there.
    pub(super) async fn write(&self, name: &str, count: usize) -> Appended {
        self.accepted(self.request(name, ExpectedVersion::Any, count)).await
    }

    /// Sends an append that must be refused at the door.
    pub(super) async fn refused(&self, request: AppendRequest) -> InvalidAppend {
        match self.store.append(request).await {
            Err(AppendError::Invalid(invalid)) => invalid,
            other => panic!("expected the append to be refused as invalid, got {other:?}"),
        }
    }

    /// The head.
    pub(super) async fn head(&self) -> Checkpoint {
        self.store.head().await.unwrap_or_else(|error| panic!("expected the head, got the error: {error}"))
    }

    /// What is known of a stream.
    pub(super) async fn info(&self, name: &str) -> Option<StreamInfo> {
        let info = self.store.stream(&stream(name)).await;
        info.unwrap_or_else(|error| panic!("expected what is known of `{name}`, got the error: {error}"))
    }

    /// A stream's version.
    pub(super) async fn version(&self, name: &str) -> Option<Version> {
        self.info(name).await.map(|info| info.version)
    }

    /// One page of a stream.
    pub(super) async fn page(
        &self,
        name: &str,
        from: Option<u64>,
        direction: Direction,
        limit: usize,
        payload: PayloadChoice,
    ) -> StreamPage {
        let read = ReadStream { stream: stream(name), from: from.map(Version), direction, limit, payload };
        let page = self.store.read_stream(read).await;
        page.unwrap_or_else(|error| panic!("expected a page of `{name}`, got the error: {error}"))
    }

    /// A whole stream, oldest first; nothing where there is none.
    pub(super) async fn stream_events(&self, name: &str) -> Vec<Event> {
        if self.info(name).await.is_none() {
            return Vec::new();
        }
        let (mut events, mut from) = (Vec::new(), None);
        loop {
            let page = self.page(name, from, Direction::Forward, 1_000, PayloadChoice::All).await;
            events.extend(page.events);
            match page.next {
                Some(next) => from = Some(next.0),
                None => return events,
            }
        }
    }

    /// The whole log, each partition in order.
    pub(super) async fn log(&self) -> Vec<Event> {
        self.log_after(None, Filter::default(), 1_000).await
    }

    /// The log after a checkpoint up to the head, in pages of `limit`. Each page is held to the contract.
    pub(super) async fn log_after(&self, after: Option<Checkpoint>, filter: Filter, limit: usize) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        let mut at = after;
        loop {
            let before = at.clone().unwrap_or_else(|| Checkpoint::start(self.partitions, Epoch::FIRST));
            let read = ReadLog { after: at, filter: filter.clone(), limit, payload: PayloadChoice::All };
            let page = self.store.read_log(read).await;
            let page = page.unwrap_or_else(|error| panic!("expected a page of the log, got the error: {error}"));
            let said = format!("a page after {before} of at most {limit}");
            assert!(
                page.from.covers(&before) && before.covers(&page.from),
                "{said}: expected to begin there, {page:?}"
            );
            assert!(page.events.len() <= limit, "{said}: expected no more, got {}", page.events.len());
            assert!(page.checkpoint.covers(&page.from), "{said}: expected not to go back, got {}", page.checkpoint);
            assert!(
                page.head.covers(&page.checkpoint),
                "{said}: expected nothing past the head, got {}",
                page.checkpoint
            );
            check_run(&said, &page.from, &page.checkpoint, &page.events, &filter);
            events.extend(page.events.iter().cloned());
            if page.at_head() {
                return events;
            }
            assert!(page.checkpoint.advances(&page.from), "{said}: expected progress, got {}", page.checkpoint);
            at = Some(page.checkpoint);
        }
    }

    /// The names of all streams that match, in pages of `limit`.
    pub(super) async fn list(&self, kind: Option<&str>, prefix: Option<&str>, limit: usize) -> Vec<StreamInfo> {
        let (mut streams, mut after) = (Vec::new(), None);
        loop {
            let list = ListStreams { category: kind.map(category), prefix: prefix.map(str::to_owned), after, limit };
            let page = self.store.list_streams(list).await;
            let page = page.unwrap_or_else(|error| panic!("expected a page of streams, got the error: {error}"));
            assert!(page.streams.len() <= limit, "expected at most {limit} streams, got {}", page.streams.len());
            assert!(page.next.is_none() || page.next > after, "expected the cursor to go on from {after:?}: {page:?}");
            streams.extend(page.streams);
            match page.next {
                Some(next) => after = Some(next),
                None => return streams,
            }
        }
    }

    /// Where a consumer stands.
    pub(super) async fn tracked(&self, name: &str) -> Option<Checkpoint> {
        let tracking = self.store.tracking(name).await;
        tracking.unwrap_or_else(|error| panic!("expected where `{name}` stands, got the error: {error}"))
    }

    /// Starts a subscription.
    pub(super) async fn follow(&self, subscribe: Subscribe) -> Follow {
        Follow::start(self, subscribe).await
    }
}

/// Events that were given for the places after `from` up to `to`: in order, each once, and all of them where nothing is
/// filtered.
pub(super) fn check_run(said: &str, from: &Checkpoint, to: &Checkpoint, events: &[Event], filter: &Filter) {
    let mut at = from.clone();
    for event in events {
        let place = event.place();
        assert!(filter.matches(event), "{said}: expected only what matches {filter:?}, got {event:?}");
        assert!(
            at.position(place.partition) < place.position,
            "{said}: expected events after {at}, each once and in order, got {place}"
        );
        assert!(
            place.position <= to.position(place.partition),
            "{said}: expected nothing after the checkpoint {to} it gives, got {place}"
        );
        at.advance(place.partition, place.position);
    }
    if filter.is_empty() {
        let between = from.distance_to(to);
        assert_eq!(events.len() as u64, between, "{said}: expected every event after {from} up to {to}");
    }
}
