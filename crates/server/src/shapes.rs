//! Events in the shape that a reader understands: a store as one reader sees it.
//!
//! Stores keep and read what was appended. What a reader gets is lifted here, on the way out and off the store's threads, to
//! the newest shape or to the newest that it understands; what it does not understand it does not get. Places, checkpoints
//! and the order of events are those of the log, whatever is lifted or passed over.

use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use pacioli_core::schemas::{Gate, Generation, Lens, NamedReader, OnNewer, Seen, Shape, Withheld};
use pacioli_core::store::{Bus, Measure};
use pacioli_core::{
    AppendError, AppendOutcome, AppendRequest, Category, Checkpoint, Deliveries, Delivery, EventStore, EventType,
    Filter, Lease, LeaseOutcome, ListStreams, LogPage, Place, Position, ReadError, ReadLog, ReadStream, RecordedEvent,
    StreamInfo, StreamName, StreamPage, StreamsPage, Subscribe, Timestamp, Version,
};

use crate::schemas::{Live, Noting, Registry};

/// Stored events that are looked at, at least, where a reader passes some over.
const LOOKED_AT_MIN: usize = 512;

/// How somebody reads: in which shape, and under which name.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The shape.
    pub shape: Shape,
    /// The name under which it is known who reads; `None` leaves no trace.
    pub reader: Option<Box<str>>,
    /// The one stream that a subscription is about, whose filter lets longer names through too: events of others are left
    /// to be dropped as they are.
    pub only: Option<(StreamName, Version)>,
}

impl Reading {
    /// # Errors
    /// What is wrong with a reader's name, as the rest of a sentence.
    pub fn check_reader(name: &str) -> Result<(), String> {
        Noting::check_name(name)
    }
}

impl Registry {
    /// `store` as a reader sees it. The store must be this registry's, or stand before it.
    pub fn view(&self, store: Arc<dyn EventStore>, reading: Reading) -> Arc<View> {
        let lens = self.gate().lens(&reading.shape);
        let shaper = Shaper { registry: self.clone(), reading: Arc::new(reading), lens };
        Arc::new(View { store, shaper: Some(shaper) })
    }

    /// Whether what is stored may look different in this shape, today or after a registration.
    pub(crate) fn may_lift(&self, shape: &Shape) -> bool {
        !shape.raw && self.gate().generation() != Generation::default()
    }
}

/// A store as one reader sees it.
pub struct View {
    store: Arc<dyn EventStore>,
    /// `None` where events come as they are stored, there being no registry.
    shaper: Option<Shaper>,
}

impl View {
    /// A store without a registry, as everybody sees it.
    pub fn as_stored(store: Arc<dyn EventStore>) -> Arc<View> {
        Arc::new(View { store, shaper: None })
    }

    /// A page of the log as it is stored: [`show`](View::show) makes of it what the reader gets. Both in turn are
    /// [`read_log`](EventStore::read_log); apart, the next page can be read while one is shown.
    pub(crate) async fn stored(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        let limit = self.looked_at(read.limit);
        self.store.read_log(ReadLog { limit, ..read }).await
    }

    /// How many stored events are looked at for so many that the reader gets: where it passes some over, one page of what is
    /// stored for each event that it gets would be far too many pages.
    fn looked_at(&self, limit: usize) -> usize {
        match &self.shaper {
            Some(shaper) if shaper.may_pass_over() => limit.max(LOOKED_AT_MIN),
            _ => limit,
        }
    }

    /// What the reader, who asked for at most `limit` events that `filter` matches, gets of a page. Its checkpoint lies before
    /// the page's where that was more, or where the reader does not understand what comes there.
    pub(crate) async fn show(&self, filter: &Filter, limit: usize, mut page: LogPage) -> Result<LogPage, ReadError> {
        let Some(shaper) = &self.shaper else { return Ok(page) };
        let noting = shaper.noting(&filter.types, &filter.categories);
        let cut = shaper.shape(&mut page.events, &noting, limit).await?;
        if let Some(cut) = &cut {
            page.checkpoint = cut.checkpoint(&page.from, &page.events);
        }
        noting.read(Some(&page.checkpoint), Cut::waits_for(cut.as_ref()).as_deref()).await;
        match cut.and_then(|cut| cut.withheld) {
            Some(withheld) if page.events.is_empty() => Err(ReadError::Withheld(withheld)),
            _ => Ok(page),
        }
    }
}

/// Makes of stored events what a reader gets.
#[derive(Clone)]
struct Shaper {
    registry: Registry,
    reading: Arc<Reading>,
    lens: Arc<dyn Lens>,
}

impl Shaper {
    /// Lifts events, and drops those that are passed over, until `limit` are left or the reader has to stop: then it says
    /// where, and `events` ends there.
    async fn shape(
        &self,
        events: &mut Vec<Arc<RecordedEvent>>,
        noting: &Noting,
        limit: usize,
    ) -> Result<Option<Cut>, ReadError> {
        if self.changes_nothing() {
            return Ok(None);
        }
        let (mut kept, mut is_fresh) = (0, false);
        for at in 0..events.len() {
            if kept == limit {
                return Ok(Some(Cut::new(events, at, kept, None)));
            }
            if self.is_asked_for(&events[at]) {
                let mut seen = self.lens.see(&mut events[at], is_fresh);
                if matches!(seen, Seen::Unknown) {
                    // What was read before the registry cannot be newer than it.
                    self.registry.refresh().await?;
                    is_fresh = true;
                    seen = self.lens.see(&mut events[at], is_fresh);
                }
                match seen {
                    Seen::AsStored | Seen::Lifted | Seen::Unknown => {}
                    Seen::Withheld(withheld) if self.reading.shape.on_newer == OnNewer::Stop => {
                        return Ok(Some(Cut::new(events, at, kept, Some(withheld))));
                    }
                    Seen::Withheld(_) => {
                        noting.skip(&events[at].event_type);
                        continue;
                    }
                }
            }
            events.swap(kept, at);
            kept += 1;
        }
        events.truncate(kept);
        Ok(None)
    }

    fn may_pass_over(&self) -> bool {
        self.reading.shape.on_newer == OnNewer::Skip && !self.changes_nothing()
    }

    /// Whether every event comes as it is stored, by the shape or since nothing is registered.
    fn changes_nothing(&self) -> bool {
        let shape = &self.reading.shape;
        shape.understands.is_empty() && !self.registry.may_lift(shape)
    }

    fn is_asked_for(&self, event: &RecordedEvent) -> bool {
        let only = self.reading.only.as_ref();
        only.is_none_or(|(stream, from)| event.stream == *stream && event.version >= *from)
    }

    /// What is to be told of the reader of these types and categories.
    fn noting(&self, types: &[EventType], categories: &[Category]) -> Noting {
        let reader = self.reading.reader.as_ref().map(|name| NamedReader {
            name: name.clone(),
            types: types.to_vec(),
            categories: categories.iter().map(|category| category.as_str().into()).collect(),
            understands: self.reading.shape.understands.clone(),
            read_at: Timestamp::default(),
            checkpoint: None,
            waits_for: None,
            live_until: None,
        });
        Noting::new(self.registry.clone(), reader)
    }
}

/// Where events end that were more than a reader wants or understands.
struct Cut {
    /// Of the first that it does not get.
    place: Place,
    version: Version,
    /// Why, where it is not that there were enough.
    withheld: Option<Box<Withheld>>,
}

impl Cut {
    /// Cuts events behind the first `kept`, of which the one at `at` is the first that the reader does not get.
    fn new(events: &mut Vec<Arc<RecordedEvent>>, at: usize, kept: usize, withheld: Option<Box<Withheld>>) -> Cut {
        let (place, version) = (events[at].place(), events[at].version);
        events.truncate(kept);
        Cut { place, version, withheld }
    }

    /// Where a reader stands that has taken `events` from `from` on.
    fn checkpoint(&self, from: &Checkpoint, events: &[Arc<RecordedEvent>]) -> Checkpoint {
        let mut checkpoint = from.clone();
        for event in events {
            checkpoint.advance(event.partition, event.position);
        }
        // What lies between in its partition did not match, or was passed over.
        let last = Position(self.place.position.0.saturating_sub(1));
        if checkpoint.position(self.place.partition) < last {
            checkpoint.advance(self.place.partition, last);
        }
        checkpoint
    }

    /// The version that a reader waits for, in words.
    fn waits_for(cut: Option<&Cut>) -> Option<String> {
        cut?.withheld.as_deref().map(Withheld::awaited)
    }
}

#[async_trait]
impl EventStore for View {
    async fn append(&self, append: AppendRequest) -> Result<AppendOutcome, AppendError> {
        self.store.append(append).await
    }

    fn bus(&self) -> Bus {
        self.store.bus()
    }

    fn measures(&self) -> Vec<Measure> {
        self.store.measures()
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        let Some(shaper) = &self.shaper else { return self.store.read_stream(read).await };
        let category = Category::new(read.stream.category()).ok();
        let noting = shaper.noting(&[], category.as_slice());
        let limit = read.limit;
        let mut page = self.store.read_stream(ReadStream { limit: self.looked_at(limit), ..read }).await?;
        let cut = shaper.shape(&mut page.events, &noting, limit).await?;
        noting.read(None, Cut::waits_for(cut.as_ref()).as_deref()).await;
        match cut {
            Some(Cut { withheld: Some(withheld), .. }) if page.events.is_empty() => Err(ReadError::Withheld(withheld)),
            Some(cut) => Ok(StreamPage { next: Some(cut.version), ..page }),
            None => Ok(page),
        }
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        let (filter, limit) = (read.filter.clone(), read.limit);
        self.show(&filter, limit, self.stored(read).await?).await
    }

    async fn subscribe(&self, subscribe: Subscribe) -> Result<Deliveries, ReadError> {
        let Some(shaper) = &self.shaper else { return self.store.subscribe(subscribe).await };
        let mut noting = shaper.noting(&subscribe.filter.types, &subscribe.filter.categories);
        let (after, heartbeat) = (subscribe.after.clone(), subscribe.heartbeat);
        let deliveries = self.store.subscribe(subscribe).await?;
        let following = Following {
            _live: noting.begin(after.as_ref()).await,
            store: Arc::clone(&self.store),
            shaper: shaper.clone(),
            noting,
            deliveries,
            ahead: None,
            heartbeat,
            told: Instant::now(),
            last: None,
        };
        let shaped = stream::unfold(Some(following), |following| async {
            let mut following = following?;
            let delivery = following.next().await?;
            let goes_on = delivery.is_ok();
            Some((delivery, goes_on.then_some(following)))
        });
        Ok(shaped.boxed())
    }

    async fn stream(&self, stream: &StreamName) -> Result<Option<StreamInfo>, ReadError> {
        self.store.stream(stream).await
    }

    async fn list_streams(&self, list: ListStreams) -> Result<StreamsPage, ReadError> {
        self.store.list_streams(list).await
    }

    async fn head(&self) -> Result<Checkpoint, ReadError> {
        self.store.head().await
    }

    async fn ready(&self) -> Result<(), ReadError> {
        self.store.ready().await
    }

    async fn tracking(&self, name: &str) -> Result<Option<Checkpoint>, ReadError> {
        self.store.tracking(name).await
    }

    async fn acquire_lease(&self, name: &str, owner: &str, time_to_live: Duration) -> Result<LeaseOutcome, ReadError> {
        self.store.acquire_lease(name, owner, time_to_live).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<bool, ReadError> {
        self.store.release_lease(lease).await
    }

    async fn backup(&self, to: &Path) -> Result<u64, ReadError> {
        self.store.backup(to).await
    }
}

/// A subscription of one reader.
struct Following {
    deliveries: Deliveries,
    /// What came while the delivery before it was lifted.
    ahead: Option<Option<Result<Delivery, ReadError>>>,
    store: Arc<dyn EventStore>,
    shaper: Shaper,
    noting: Noting,
    heartbeat: Duration,
    /// When something was last delivered.
    told: Instant,
    /// With what it ends, once what came before was delivered.
    last: Option<ReadError>,
    _live: Live,
}

impl Following {
    async fn next(&mut self) -> Option<Result<Delivery, ReadError>> {
        if let Some(error) = self.last.take() {
            return Some(Err(error));
        }
        loop {
            let delivery = match self.ahead.take() {
                Some(delivery) => delivery,
                None => self.deliveries.next().await,
            };
            let delivery = match delivery? {
                Ok(delivery) => {
                    if !self.shaper.changes_nothing() {
                        // Who is behind has the next events read from storage while these are lifted.
                        self.ahead = match futures::poll!(self.deliveries.next()) {
                            Poll::Ready(next) => Some(next),
                            Poll::Pending => None,
                        };
                    }
                    self.shaped(delivery).await
                }
                Err(error) => Err(error),
            };
            if let Some(delivery) = delivery.transpose() {
                self.told = Instant::now();
                return Some(delivery);
            }
        }
    }

    /// A delivery as the reader gets it; `None` where all of it is passed over.
    async fn shaped(&mut self, delivery: Delivery) -> Result<Option<Delivery>, ReadError> {
        let Delivery::Events { mut events, from, checkpoint } = delivery else {
            self.noting.read(Some(delivery.checkpoint()), None).await;
            return Ok(Some(delivery));
        };
        let Some(cut) = self.shaper.shape(&mut events, &self.noting, usize::MAX).await? else {
            self.noting.read(Some(&checkpoint), None).await;
            return match events.is_empty() {
                false => Ok(Some(Delivery::Events { events, from, checkpoint })),
                // Whoever hears nothing takes the server for lost.
                true if self.told.elapsed() >= self.heartbeat => {
                    let head = self.store.head().await?;
                    Ok(Some(Delivery::Heartbeat { checkpoint, head }))
                }
                true => Ok(None),
            };
        };
        let checkpoint = cut.checkpoint(&from, &events);
        self.noting.read(Some(&checkpoint), Cut::waits_for(Some(&cut)).as_deref()).await;
        self.last = cut.withheld.map(ReadError::Withheld);
        match self.last.take_if(|_| events.is_empty()) {
            Some(error) => Err(error),
            None => Ok(Some(Delivery::Events { events, from, checkpoint })),
        }
    }
}
