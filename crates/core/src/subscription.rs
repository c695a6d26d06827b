//! The one loop that reads the log, for every store: catch-up and live are the same.
//!
//! Behind the head it reads a bounded batch, from the ring of recent events where that reaches back far enough and from
//! storage otherwise; at the head it waits for the bell, and at the latest after a heartbeat it really reads again. It is
//! pulled: a slow reader slows only its own loop, and nothing is buffered for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;

use crate::clock::Clock;
use crate::event::RecordedEvent;
use crate::limits::Limits;
use crate::place::{Checkpoint, Epoch, Partition, Position};
use crate::recent::Recent;
use crate::store::{Deliveries, Epochs, Filter, LogPage, PayloadChoice, ReadError, ReadLog};

/// What the loop needs of an engine.
#[async_trait]
pub trait LogSource: Send + Sync + 'static {
    /// The ring of recent events, with the heads as far as this process knows them.
    fn recent(&self) -> &Recent;

    /// The store's epochs. A new one is here before [`Recent::rewind`] makes its heads known.
    fn epochs(&self) -> Epochs;

    /// The clock that heartbeats go by.
    fn clock(&self) -> &dyn Clock;

    /// The bounds of a page.
    fn limits(&self) -> Limits;

    /// The heads, asked of the storage: another process may have moved them.
    async fn storage_heads(&self) -> Result<Checkpoint, ReadError>;

    /// Reads events of one partition that match, after one position and up to another. Where the epoch is not the scan's
    /// any more it reads nothing and says that it got no further.
    async fn scan(&self, scan: Scan) -> Result<Scanned, ReadError>;
}

/// A bounded read of one partition.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The partition.
    pub partition: Partition,
    /// After this position.
    pub after: Position,
    /// Up to and including this one, which is committed.
    pub up_to: Position,
    /// The epoch these positions are of.
    pub epoch: Epoch,
    /// Which events.
    pub filter: Arc<Filter>,
    /// Events at most.
    pub limit: usize,
    /// How much of each event.
    pub payload: PayloadChoice,
}

/// What a [`Scan`] found.
#[derive(Clone, Debug)]
pub struct Scanned {
    /// The events in position order.
    pub events: Vec<Arc<RecordedEvent>>,
    /// Everything up to here was looked at.
    pub up_to: Position,
}

/// A subscription, please.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// After where; `None` is the start of the log.
    pub after: Option<Checkpoint>,
    /// Which events.
    pub filter: Filter,
    /// How much of each event.
    pub payload: PayloadChoice,
    /// Events of one delivery at most.
    pub batch_max: usize,
    /// How long to stay silent at most.
    pub heartbeat: Duration,
}

impl Default for Subscribe {
    fn default() -> Self {
        Subscribe {
            after: None,
            filter: Filter::default(),
            payload: PayloadChoice::All,
            batch_max: 512,
            heartbeat: Duration::from_secs(5),
        }
    }
}

/// What a subscription delivers.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Events, in order, at least one.
    Events {
        /// The events.
        events: Vec<Arc<RecordedEvent>>,
        /// Where this delivery began.
        from: Checkpoint,
        /// Where to resume once these are taken.
        checkpoint: Checkpoint,
    },
    /// The head was reached; what follows is live. Said again whenever the reader had fallen behind the ring.
    CaughtUp {
        /// Where to resume.
        checkpoint: Checkpoint,
    },
    /// Nothing that matches for a while, but all is well.
    Heartbeat {
        /// Where to resume: progress, though nothing matched.
        checkpoint: Checkpoint,
        /// The head of the log.
        head: Checkpoint,
    },
}

impl Delivery {
    /// Where to resume after this delivery.
    pub fn checkpoint(&self) -> &Checkpoint {
        match self {
            Delivery::Events { checkpoint, .. }
            | Delivery::CaughtUp { checkpoint }
            | Delivery::Heartbeat { checkpoint, .. } => checkpoint,
        }
    }
}

/// Starts the loop over `source`.
pub async fn subscribe<S: LogSource + ?Sized>(source: Arc<S>, subscribe: Subscribe) -> Result<Deliveries, ReadError> {
    let checkpoint = resolve(&*source, subscribe.after.as_ref()).await?;
    let follower = Follower {
        filter: Arc::new(subscribe.filter),
        batch_max: subscribe.batch_max.clamp(1, source.limits().page_events_max),
        payload: subscribe.payload,
        heartbeat: subscribe.heartbeat,
        turn: 0,
        live: false,
        ahead: BTreeMap::new(),
        checkpoint,
        source,
    };
    let deliveries = futures::stream::unfold(Some(follower), |follower| async {
        let mut follower = follower?;
        match follower.next().await {
            Ok(delivery) => Some((Ok(delivery), Some(follower))),
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(deliveries.boxed())
}

/// Reads one page of the log, the partitions in turn.
pub async fn read_log<S: LogSource + ?Sized>(source: &S, read: ReadLog) -> Result<LogPage, ReadError> {
    // A page is of the moment at which it was asked for: another process may be ahead of what is known here.
    let head = source.storage_heads().await?;
    let from = source.epochs().resolve(read.after.as_ref(), &head)?;
    let mut page = LogPage { events: Vec::new(), checkpoint: from.clone(), from, head };
    let filter = Arc::new(read.filter);
    let limit = read.limit.clamp(1, source.limits().page_events_max);
    let mut bytes = 0;
    for place in page.head.iter() {
        let after = page.checkpoint.position(place.partition);
        if after >= place.position || page.events.len() >= limit || bytes >= source.limits().page_bytes_max {
            continue;
        }
        let scan = Scan {
            partition: place.partition,
            after,
            up_to: place.position,
            epoch: page.head.epoch(),
            filter: Arc::clone(&filter),
            limit: limit - page.events.len(),
            payload: read.payload,
        };
        let scanned = source.scan(scan).await?;
        page.checkpoint.advance(place.partition, scanned.up_to);
        bytes += scanned.events.iter().map(|event| event.size()).sum::<usize>();
        page.events.extend(scanned.events);
    }
    Ok(page)
}

/// Turns a reader's checkpoint into one of today; only a checkpoint ahead of what this process knows costs a read.
async fn resolve<S: LogSource + ?Sized>(source: &S, after: Option<&Checkpoint>) -> Result<Checkpoint, ReadError> {
    let known = source.recent().heads();
    if let Some(after) = after
        && !known.covers(after)
    {
        source.recent().observe(&source.storage_heads().await?);
    }
    let heads = source.recent().heads();
    source.epochs().resolve(after, &heads)
}

/// A storage that takes longer to name its heads keeps nobody from what the bell says.
const STORAGE_PATIENCE: Duration = Duration::from_secs(1);

/// Partitions of one subscription that are read from storage at once, at most.
const SCANS_AT_ONCE: usize = 4;

struct Follower<S: ?Sized> {
    source: Arc<S>,
    filter: Arc<Filter>,
    payload: PayloadChoice,
    batch_max: usize,
    heartbeat: Duration,
    checkpoint: Checkpoint,
    /// The partition to look at first, so that a busy one starves no other.
    turn: u16,
    /// Whether the reader knows that it is at the head.
    live: bool,
    /// What was read of other partitions beside the one whose turn it was, with where each read began.
    ahead: BTreeMap<Partition, (Position, Epoch, Scanned)>,
}

impl<S: LogSource + ?Sized> Follower<S> {
    async fn next(&mut self) -> Result<Delivery, ReadError> {
        let mut bell = self.source.recent().bell();
        // One beat for the whole wait: what others write rings the bell, and if that began the beat anew, a reader whose
        // filter matches none of it would never hear a word.
        let mut beat = None;
        let mut is_due = false;
        loop {
            bell.borrow_and_update();
            let head = self.source.recent().heads();
            if head.epoch() != self.checkpoint.epoch() {
                // The tail may have been rewound. Who is not ahead of where the new epoch began just goes on.
                self.checkpoint = self.source.epochs().resolve(Some(&self.checkpoint), &head)?;
                self.live = false;
            }
            match self.read_behind(&head).await? {
                Read::Events(delivery) => return Ok(delivery),
                // Storage was read and nothing matched: say how far, a filter may match nothing for long.
                Read::Progress => return Ok(Delivery::Heartbeat { checkpoint: self.checkpoint.clone(), head }),
                Read::Rewound => continue,
                Read::AtHead => {}
            }
            if !self.live {
                self.live = true;
                return Ok(Delivery::CaughtUp { checkpoint: self.checkpoint.clone() });
            }
            if is_due {
                return Ok(Delivery::Heartbeat { checkpoint: self.checkpoint.clone(), head });
            }
            tokio::select! {
                biased;
                () = beat.get_or_insert_with(|| self.source.clock().sleep(self.heartbeat)) => {
                    // The bell is a hint: every wait ends in a real read.
                    is_due = true;
                    let asked = self.source.storage_heads();
                    let rung = async {
                        self.source.clock().sleep(STORAGE_PATIENCE).await;
                        bell.changed().await.is_ok()
                    };
                    tokio::select! {
                        biased;
                        head = asked => self.source.recent().observe(&head?),
                        // The storage that hangs may be a primary of yesterday, while appends go on elsewhere.
                        true = rung => {}
                    }
                }
                changed = bell.changed() => {
                    if changed.is_err() {
                        return Err(ReadError::Store(crate::store::StoreError::new("the store was closed")));
                    }
                }
            }
        }
    }

    /// Reads one batch of the first partition in turn that lies behind `head`.
    async fn read_behind(&mut self, head: &Checkpoint) -> Result<Read, ReadError> {
        let partitions = head.partitions();
        for step in 0..partitions {
            let partition = Partition((self.turn + step) % partitions);
            loop {
                let after = self.checkpoint.position(partition);
                let up_to = head.position(partition);
                if after >= up_to {
                    break;
                }
                let ring = self.source.recent().after(partition, after, self.batch_max);
                let from_storage = ring.is_none();
                let (events, up_to) = match ring {
                    Some(recent) => self.take_matching(recent, after),
                    None => {
                        let scanned = self.scan(partition, head).await?;
                        (scanned.events, scanned.up_to)
                    }
                };
                if up_to == after {
                    assert!(self.source.recent().epoch() > head.epoch(), "a read behind the head makes progress");
                    return Ok(Read::Rewound);
                }
                assert!(up_to > after, "a read goes forward");
                let from = self.checkpoint.clone();
                self.checkpoint.advance(partition, up_to);
                if !events.is_empty() {
                    self.live &= !from_storage;
                    self.turn = (partition.0 + 1) % partitions;
                    return Ok(Read::Events(Delivery::Events { events, from, checkpoint: self.checkpoint.clone() }));
                }
                if from_storage && up_to < head.position(partition) {
                    self.live = false;
                    return Ok(Read::Progress);
                }
            }
        }
        self.ahead.clear();
        Ok(Read::AtHead)
    }

    /// Reads a partition from storage, and beside it the next ones in turn that storage must be asked for too.
    async fn scan(&mut self, partition: Partition, head: &Checkpoint) -> Result<Scanned, ReadError> {
        if let Some((after, epoch, scanned)) = self.ahead.remove(&partition)
            && (after, epoch) == (self.checkpoint.position(partition), head.epoch())
        {
            return Ok(scanned);
        }
        let partitions = head.partitions();
        let asked: Vec<Partition> = (0..partitions)
            .map(|step| Partition((partition.0 + step) % partitions))
            .filter(|other| *other == partition || self.needs_storage(*other, head))
            .take(SCANS_AT_ONCE)
            .collect();
        let scans = asked.iter().map(|&partition| {
            self.source.scan(Scan {
                partition,
                after: self.checkpoint.position(partition),
                up_to: head.position(partition),
                epoch: head.epoch(),
                filter: Arc::clone(&self.filter),
                limit: self.batch_max,
                payload: self.payload,
            })
        });
        let mut scanned = futures::future::join_all(scans).await.into_iter();
        let own = scanned.next().expect("the partition itself is asked first");
        for (&other, scanned) in asked[1..].iter().zip(scanned) {
            // What could not be read is read again when its turn comes, and says so then.
            if let Ok(scanned) = scanned {
                self.ahead.insert(other, (self.checkpoint.position(other), head.epoch(), scanned));
            }
        }
        own
    }

    fn needs_storage(&self, partition: Partition, head: &Checkpoint) -> bool {
        let after = self.checkpoint.position(partition);
        after < head.position(partition)
            && !self.ahead.contains_key(&partition)
            && self.source.recent().after(partition, after, 1).is_none()
    }

    /// Takes what matches, as much as a page may hold, and says up to where it looked.
    fn take_matching(&self, recent: Vec<Arc<RecordedEvent>>, after: Position) -> (Vec<Arc<RecordedEvent>>, Position) {
        let bytes_max = self.source.limits().page_bytes_max;
        let (mut matching, mut bytes, mut up_to) = (Vec::new(), 0, after);
        for event in recent {
            up_to = event.position;
            if self.filter.matches(&event) {
                let event = event.with_payload(self.payload);
                bytes += event.size();
                matching.push(event);
                if bytes >= bytes_max {
                    break;
                }
            }
        }
        (matching, up_to)
    }
}

enum Read {
    Events(Delivery),
    Progress,
    /// Another epoch began while this was read.
    Rewound,
    AtHead,
}

#[cfg(test)]
#[path = "subscription_tests.rs"]
mod tests;
