//! Events in the shape that a reader understands: a store as one reader sees it.
//!
//! Stores keep and read what was appended. What a reader gets is lifted here, on the way out and off the store's threads, to
//! the newest shape or to the newest that it understands; what it does not understand it does not get. Places, checkpoints
//! and the order of events are those of the log, whatever is lifted or passed over.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use pacioli_core::schemas::{Gate, Generation, Lens, NamedReader, OnNewer, Seen, Shape, Withheld};
use pacioli_core::store::{Bus, Measure};
use pacioli_core::{
    AppendError, AppendOutcome, AppendRequest, Category, Checkpoint, Deliveries, Delivery, EventStore, EventType,
    Lease, LeaseOutcome, ListStreams, LogPage, Position, ReadError, ReadLog, ReadStream, RecordedEvent, StreamInfo,
    StreamName, StreamPage, StreamsPage, Subscribe, Timestamp, Version,
};

use crate::schemas::{Live, Noting, Registry};

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
    pub fn view(&self, store: Arc<dyn EventStore>, reading: Reading) -> Arc<dyn EventStore> {
        let lens = self.gate().lens(&reading.shape);
        Arc::new(View { store, shaper: Shaper { registry: self.clone(), reading: Arc::new(reading), lens } })
    }

    /// Whether what is stored may look different in this shape, today or after a registration.
    pub(crate) fn may_lift(&self, shape: &Shape) -> bool {
        !shape.raw && self.gate().generation() != Generation::default()
    }
}

/// A store as one reader sees it.
struct View {
    store: Arc<dyn EventStore>,
    shaper: Shaper,
}

/// Makes of stored events what a reader gets.
#[derive(Clone)]
struct Shaper {
    registry: Registry,
    reading: Arc<Reading>,
    lens: Arc<dyn Lens>,
}

impl Shaper {
    /// Lifts events, and drops those that are passed over. Where the reader has to stop, what it does not understand comes
    /// back, and `events` ends before it.
    async fn shape(
        &self,
        events: &mut Vec<Arc<RecordedEvent>>,
        noting: &Noting,
    ) -> Result<Option<Box<Withheld>>, ReadError> {
        if self.changes_nothing() {
            return Ok(None);
        }
        let (mut kept, mut is_fresh) = (0, false);
        for at in 0..events.len() {
            if !self.is_asked_for(&events[at]) {
                events.swap(kept, at);
                kept += 1;
                continue;
            }
            let mut seen = self.lens.see(&events[at], is_fresh);
            if matches!(seen, Seen::Unknown) {
                // What was read before the registry cannot be newer than it.
                self.registry.refresh().await?;
                is_fresh = true;
                seen = self.lens.see(&events[at], is_fresh);
            }
            match seen {
                Seen::AsStored | Seen::Unknown => {}
                Seen::Lifted(lifted) => events[at] = lifted,
                Seen::Withheld(withheld) => match self.reading.shape.on_newer {
                    OnNewer::Stop => {
                        events.truncate(kept);
                        return Ok(Some(withheld));
                    }
                    OnNewer::Skip => {
                        noting.skip(&events[at].event_type);
                        continue;
                    }
                },
            }
            events.swap(kept, at);
            kept += 1;
        }
        events.truncate(kept);
        Ok(None)
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

/// Where a reader stands that has taken `events` from `from` on and stops before what is withheld.
fn before(from: &Checkpoint, events: &[Arc<RecordedEvent>], withheld: &Withheld) -> Checkpoint {
    let mut checkpoint = from.clone();
    for event in events {
        checkpoint.advance(event.partition, event.position);
    }
    // What lies between in its partition did not match.
    let place = withheld.place;
    let last = Position(place.position.0.saturating_sub(1));
    if checkpoint.position(place.partition) < last {
        checkpoint.advance(place.partition, last);
    }
    checkpoint
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
        let category = Category::new(read.stream.category()).ok();
        let noting = self.shaper.noting(&[], category.as_slice());
        let mut page = self.store.read_stream(read).await?;
        // The version of each event that may be the first that is withheld.
        let versions: Vec<Version> = match self.shaper.reading.shape.understands.is_empty() {
            true => Vec::new(),
            false => page.events.iter().map(|event| event.version).collect(),
        };
        let withheld = self.shaper.shape(&mut page.events, &noting).await?;
        noting.read(None, withheld.as_deref().map(Withheld::awaited).as_deref()).await;
        match withheld {
            Some(withheld) if page.events.is_empty() => Err(ReadError::Withheld(withheld)),
            Some(_) => Ok(StreamPage { next: versions.get(page.events.len()).copied(), ..page }),
            None => Ok(page),
        }
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        let noting = self.shaper.noting(&read.filter.types, &read.filter.categories);
        let mut page = self.store.read_log(read).await?;
        let withheld = self.shaper.shape(&mut page.events, &noting).await?;
        if let Some(withheld) = &withheld {
            page.checkpoint = before(&page.from, &page.events, withheld);
        }
        noting.read(Some(&page.checkpoint), withheld.as_deref().map(Withheld::awaited).as_deref()).await;
        match withheld {
            Some(withheld) if page.events.is_empty() => Err(ReadError::Withheld(withheld)),
            _ => Ok(page),
        }
    }

    async fn subscribe(&self, subscribe: Subscribe) -> Result<Deliveries, ReadError> {
        let noting = self.shaper.noting(&subscribe.filter.types, &subscribe.filter.categories);
        let (after, heartbeat) = (subscribe.after.clone(), subscribe.heartbeat);
        let deliveries = self.store.subscribe(subscribe).await?;
        let following = Following {
            _live: noting.begin(after.as_ref()).await,
            store: Arc::clone(&self.store),
            shaper: self.shaper.clone(),
            noting,
            deliveries,
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
            let delivery = match self.deliveries.next().await? {
                Ok(delivery) => self.shaped(delivery).await,
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
        let Some(withheld) = self.shaper.shape(&mut events, &self.noting).await? else {
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
        let checkpoint = before(&from, &events, &withheld);
        self.noting.read(Some(&checkpoint), Some(&withheld.awaited())).await;
        let error = ReadError::Withheld(withheld);
        if events.is_empty() {
            return Err(error);
        }
        self.last = Some(error);
        Ok(Some(Delivery::Events { events, from, checkpoint }))
    }
}
