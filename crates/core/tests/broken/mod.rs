//! The in-memory store with one fault at a time.
#![expect(clippy::unwrap_used, reason = "helpers of a test: what cannot be unwrapped fails the test")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use pacioli_core::memory::MemoryStore;
use pacioli_core::store::*;
use pacioli_core::*;

mod appends;
mod registry;

pub(crate) use registry::BrokenRegistry;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    AnswersWrongPositions,
    IgnoresExactVersions,
    HidesTheCurrentVersion,
    ChecksVersionsBeforehand,
    SharesPositions,
    AnswersBeforeItStores,
    StoresRetriesAgain,
    StoresWhatIsNewOfMixedIds,
    ComparesIdsOnly,
    ForgetsKeys,
    ComparesKeysOnly,
    IgnoresAConditionTag,
    AsksOnlyTheFirstItem,
    IgnoresWhereAConditionBegins,
    ChecksConditionsBeforehand,
    AcceptsConditionsPastTheHead,
    StoresHalfOfAConflict,
    ShowsHalfOfAnAppend,
    NormalizesJson,
    ForgetsTimesBefore1970,
    TrimsNames,
    SendsDataAnyway,
    DropsAnEventFromPages,
    SwapsTwoEvents,
    ReadsFromTheCheckpointOn,
    ReadsOneTooMany,
    EndsAPageEarly,
    SendsPagesOfAnySize,
    FindsEveryStream,
    ListsWithoutCategory,
    SkipsAStreamBetweenPages,
    TakesAnyCheckpoint,
    FiltersByTypeOnly,
    TakesPrefixesAsPatterns,
    StandsStillWhereNothingMatches,
    SkipsAtHandOver,
    RepeatsAtHandOver,
    GivesCheckpointsAhead,
    GivesCheckpointsBehind,
    NeverSaysCaughtUp,
    NeverSendsHeartbeats,
    CutsSlowSubscribers,
    AcceptsOneMore,
    RefusesOneLess,
    AcceptsTheFuture,
    ForgetsTracking,
    TracksTheSameTwice,
    TracksConflicts,
    LendsToEverybody,
    RepeatsTokens,
    GivesCheckpointsOfOnePartition,
    ForgetsKeysWhenReopened,
    ForgetsTrackingWhenReopened,
    MakesStaleChanges,
    ChangesWithoutItsRecord,
    JudgesBeforehand,
    TellsTheGateLate,
    IgnoresVersionsOfTheGate,
    KeepsTheFirstNote,
    TellsOneConsumer,
    TellsNoGateWhenReopened,
}

/// A store with a fault.
pub(crate) struct Broken {
    inner: Arc<dyn EventStore>,
    fault: Fault,
    was_reopened: bool,
    memory: Arc<Mutex<Memory>>,
}

/// What faults remember.
#[derive(Default)]
struct Memory {
    keys: HashMap<uuid::Uuid, AppendOutcome>,
    tracking: HashMap<String, Checkpoint>,
    last_answer: Option<Appended>,
}

impl Broken {
    pub(crate) fn new(fault: Fault, partitions: u16) -> Broken {
        let mut limits = Limits::default();
        match fault {
            Fault::AcceptsOneMore => limits.append_events_max += 1,
            Fault::RefusesOneLess => limits.metadata_bytes_max -= 1,
            Fault::SendsPagesOfAnySize => limits.page_bytes_max = usize::MAX,
            Fault::AcceptsTheFuture => limits.future_micros_max = i64::MAX,
            _ => {}
        }
        let clock = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
        let inner = Arc::new(MemoryStore::new(partitions, limits, clock));
        Broken { inner, fault, was_reopened: false, memory: Arc::default() }
    }

    /// The same store, opened again.
    pub(crate) fn reopened(fault: Fault, store: Arc<dyn EventStore>) -> Broken {
        Broken { inner: store, fault, was_reopened: true, memory: Arc::default() }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// A checkpoint that never lies past the head: the reader gets what there is, and no word of its mistake.
    async fn forgiven(&self, after: Option<Checkpoint>) -> Option<Checkpoint> {
        let (after, head) = (after?, self.inner.head().await.ok()?);
        if !self.has(Fault::TakesAnyCheckpoint) {
            return Some(after);
        }
        let positions = head.iter().map(|place| place.position.min(after.position(place.partition)));
        Some(Checkpoint::new(positions.collect::<Vec<_>>(), head.epoch()))
    }

    fn filter(&self, mut filter: Filter) -> Filter {
        if self.has(Fault::FiltersByTypeOnly) {
            filter = Filter { types: filter.types, ..Filter::default() };
        }
        if self.has(Fault::TakesPrefixesAsPatterns) {
            let pattern = filter.stream_prefix.take();
            filter.stream_prefix = pattern.map(|pattern| pattern.trim_end_matches(['%', '_']).to_owned());
        }
        filter
    }
}

#[async_trait::async_trait]
impl EventStore for Broken {
    async fn append(&self, append: AppendRequest) -> Result<AppendOutcome, AppendError> {
        self.append_badly(append).await
    }

    async fn read_stream(&self, mut read: ReadStream) -> Result<StreamPage, ReadError> {
        if self.has(Fault::SendsDataAnyway) {
            read.payload = PayloadChoice::All;
        }
        if self.has(Fault::ReadsOneTooMany) {
            read.limit += 1;
        }
        let page = self.inner.read_stream(read).await;
        let mut page = match page {
            Err(ReadError::StreamNotFound { .. }) if self.has(Fault::FindsEveryStream) => {
                return Ok(StreamPage { events: Vec::new(), next: None, version: Version(0) });
            }
            page => page?,
        };
        if self.has(Fault::EndsAPageEarly) && page.events.len() > 2 {
            page.events.pop();
        }
        Ok(page)
    }

    async fn read_log(&self, mut read: ReadLog) -> Result<LogPage, ReadError> {
        read.after = self.forgiven(read.after).await;
        read.filter = self.filter(read.filter);
        if self.has(Fault::SendsDataAnyway) {
            read.payload = PayloadChoice::All;
        }
        let asked = read.after.clone();
        if self.has(Fault::ReadsFromTheCheckpointOn) {
            let back = |place: Place| Position(place.position.0.saturating_sub(1));
            let epoch = asked.as_ref().map(Checkpoint::epoch).unwrap_or_default();
            read.after = asked.as_ref().map(|after| Checkpoint::new(after.iter().map(back).collect::<Vec<_>>(), epoch));
        }
        let mut page = self.inner.read_log(read).await?;
        if self.has(Fault::ReadsFromTheCheckpointOn)
            && let Some(asked) = asked
        {
            page.from = asked;
        }
        if self.has(Fault::DropsAnEventFromPages) && page.events.len() > 3 {
            page.events.remove(2);
        }
        if self.has(Fault::SwapsTwoEvents) && page.events.len() > 3 {
            page.events.swap(1, 2);
        }
        if self.has(Fault::StandsStillWhereNothingMatches) && page.events.is_empty() {
            page.checkpoint = page.from.clone();
        }
        Ok(page)
    }

    async fn subscribe(&self, mut subscribe: Subscribe) -> Result<Deliveries, ReadError> {
        subscribe.after = self.forgiven(subscribe.after).await;
        subscribe.filter = self.filter(subscribe.filter);
        if self.has(Fault::SendsDataAnyway) {
            subscribe.payload = PayloadChoice::All;
        }
        let (fault, inner) = (self.fault, Arc::clone(&self.inner));
        let mut is_handing_over = false;
        let mut last: Option<Arc<RecordedEvent>> = None;
        let deliveries = self.inner.subscribe(subscribe).await?.then(move |delivery| {
            let inner = Arc::clone(&inner);
            async move {
                let (delivery, head) = (delivery?, inner.head().await?);
                if fault == Fault::CutsSlowSubscribers && delivery.checkpoint().distance_to(&head) > 100 {
                    return Err(ReadError::Store(StoreError::new("too slow")));
                }
                Ok(delivery)
            }
        });
        let deliveries = deliveries.filter_map(move |delivery| {
            let delivery = match delivery {
                Ok(delivery) => spoil(fault, delivery, &mut is_handing_over, &mut last).map(Ok),
                Err(error) => Some(Err(error)),
            };
            futures::future::ready(delivery)
        });
        Ok(deliveries.boxed())
    }

    async fn stream(&self, stream: &StreamName) -> Result<Option<StreamInfo>, ReadError> {
        self.inner.stream(stream).await
    }

    async fn list_streams(&self, mut list: ListStreams) -> Result<StreamsPage, ReadError> {
        if self.has(Fault::ListsWithoutCategory) {
            list.category = None;
        }
        let mut page = self.inner.list_streams(list).await?;
        if self.has(Fault::SkipsAStreamBetweenPages) {
            page.next = page.next.map(|next| next + 1);
        }
        Ok(page)
    }

    async fn head(&self) -> Result<Checkpoint, ReadError> {
        let head = self.inner.head().await?;
        if self.has(Fault::GivesCheckpointsOfOnePartition) {
            let first = |place: Place| if place.partition.0 == 0 { place.position } else { Position::START };
            return Ok(Checkpoint::new(head.iter().map(first).collect::<Vec<_>>(), head.epoch()));
        }
        Ok(head)
    }

    async fn tracking(&self, name: &str) -> Result<Option<Checkpoint>, ReadError> {
        if self.has(Fault::ForgetsTrackingWhenReopened) && self.was_reopened {
            return Ok(None);
        }
        if self.has(Fault::TracksConflicts) {
            return Ok(self.memory.lock().unwrap().tracking.get(name).cloned());
        }
        self.inner.tracking(name).await
    }

    async fn acquire_lease(&self, name: &str, owner: &str, time_to_live: Duration) -> Result<LeaseOutcome, ReadError> {
        Ok(match self.inner.acquire_lease(name, owner, time_to_live).await? {
            LeaseOutcome::Taken(lease) if self.has(Fault::LendsToEverybody) => {
                LeaseOutcome::Held(Lease { owner: owner.to_owned(), ..lease })
            }
            LeaseOutcome::Held(lease) if self.has(Fault::RepeatsTokens) => {
                LeaseOutcome::Held(Lease { token: 1, ..lease })
            }
            outcome => outcome,
        })
    }

    async fn release_lease(&self, lease: &Lease) -> Result<bool, ReadError> {
        self.inner.release_lease(lease).await
    }

    async fn backup(&self, to: &Path) -> Result<u64, ReadError> {
        self.inner.backup(to).await
    }
}

/// One delivery as the fault has it.
fn spoil(
    fault: Fault,
    mut delivery: Delivery,
    is_handing_over: &mut bool,
    last: &mut Option<Arc<RecordedEvent>>,
) -> Option<Delivery> {
    match &mut delivery {
        Delivery::CaughtUp { .. } => {
            *is_handing_over = true;
            return (fault != Fault::NeverSaysCaughtUp).then_some(delivery);
        }
        Delivery::Heartbeat { .. } => return (fault != Fault::NeverSendsHeartbeats).then_some(delivery),
        Delivery::Events { events, from, checkpoint } => {
            if fault == Fault::SkipsAtHandOver && std::mem::take(is_handing_over) {
                let lost = events.remove(0);
                from.advance(lost.partition, lost.position);
                if events.is_empty() {
                    return None;
                }
            }
            if fault == Fault::RepeatsAtHandOver
                && std::mem::take(is_handing_over)
                && let Some(last) = last.take()
            {
                events.insert(0, last);
            }
            if fault == Fault::GivesCheckpointsAhead {
                let event = &events[0];
                checkpoint.advance(event.partition, checkpoint.position(event.partition).next());
            }
            if fault == Fault::GivesCheckpointsBehind {
                *checkpoint = from.clone();
            }
            *last = events.last().cloned();
        }
    }
    Some(delivery)
}
