//! The in-memory store: short, complete, and the first file to read to learn what an engine must do.
//!
//! It keeps the whole contract but durability: fetch the facts, let [`Batch::decide`] decide, write what it accepted,
//! publish it, answer. An engine on disk does the same for a whole batch and puts a commit before "publish".

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::append::{Append, AppendOutcome, AppendRequest, ExpectedVersion, InvalidAppend};
use crate::clock::Clock;
use crate::decide::{Batch, Facts, KnownKey};
use crate::event::{EventId, RecordedEvent, Timestamp};
use crate::lease::{self, Lease, LeaseOutcome};
use crate::limits::Limits;
use crate::names::StreamName;
use crate::place::{Checkpoint, Epoch, Version};
use crate::recent::{Recent, RecentLimits};
use crate::schemas::{
    self, Gate, NamedReader, REGISTRY_STREAM, Registry, RegistryChange, RegistryOutcome, RegistryStore, TrackedConsumer,
};
use crate::store::{
    AppendError, Deliveries, Direction, Epochs, EventStore, ListStreams, LogPage, ReadError, ReadLog, ReadStream,
    StreamInfo, StreamPage, StreamsPage,
};
use crate::subscription::{self, LogSource, Scan, Scanned, Subscribe};

/// A store that forgets everything with its process. Cloning it gives another handle on the same log.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    limits: Limits,
    recent: Recent,
    gate: Option<Arc<dyn Gate>>,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    /// Each partition's events; position 1 is at index 0.
    partitions: Vec<Vec<Arc<RecordedEvent>>>,
    /// Each stream's events, in version order.
    streams: HashMap<StreamName, Vec<Arc<RecordedEvent>>>,
    /// The streams in the order in which they began.
    began: Vec<StreamName>,
    ids: HashMap<EventId, Arc<RecordedEvent>>,
    keys: HashMap<Uuid, KnownKey>,
    tracking: HashMap<String, Checkpoint>,
    leases: HashMap<String, Lease>,
    registry: Registry,
    readers: BTreeMap<Box<str>, NamedReader>,
    last_recorded_at: Timestamp,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(partitions: u16, limits: Limits, clock: Arc<dyn Clock>) -> MemoryStore {
        MemoryStore::open(partitions, limits, clock, None)
    }

    /// An empty store with a gate, which every event has to pass.
    pub fn with_gate(partitions: u16, limits: Limits, clock: Arc<dyn Clock>, gate: Arc<dyn Gate>) -> MemoryStore {
        MemoryStore::open(partitions, limits, clock, Some(gate))
    }

    fn open(partitions: u16, limits: Limits, clock: Arc<dyn Clock>, gate: Option<Arc<dyn Gate>>) -> MemoryStore {
        let heads = Checkpoint::start(partitions, Epoch::FIRST);
        let log = Log { partitions: vec![Vec::new(); usize::from(partitions)], ..Log::default() };
        let recent = Recent::new(&heads, RecentLimits::default());
        MemoryStore { shared: Arc::new(Shared { clock, limits, recent, gate, log: Mutex::new(log) }) }
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        // Nothing below panics between two writes to the log, so a poisoned log is still a whole one.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Decides one append, and writes and publishes what was accepted.
    fn decide(&self, log: &mut Log, append: Append, now: Timestamp) -> AppendOutcome {
        let recorded_at = now.max(log.last_recorded_at);
        let mut batch = Batch::new(log.facts(&append), log.heads(), recorded_at);
        let outcome = batch.decide(append);
        log.write(&batch);
        self.recent.publish(batch.events());
        outcome
    }
}

impl Log {
    fn heads(&self) -> Checkpoint {
        let head = |events: &Vec<Arc<RecordedEvent>>| events.last().map(|event| event.position).unwrap_or_default();
        Checkpoint::new(self.partitions.iter().map(head), Epoch::FIRST)
    }

    /// Fetches what the log holds that bears on this append.
    fn facts(&self, append: &Append) -> Facts {
        let mut facts = Facts::default();
        for write in append.writes() {
            if let Some(last) = self.streams.get(&write.stream).and_then(|events| events.last()) {
                facts.versions.insert(write.stream.clone(), last.version);
            }
            for event in &write.events {
                if let Some(known) = self.ids.get(&event.id) {
                    facts.events.insert(event.id, Arc::clone(known));
                }
            }
        }
        if let Some((key, known)) = append.key().and_then(|key| self.keys.get_key_value(&key)) {
            facts.keys.insert(*key, known.clone());
        }
        if let Some(condition) = append.condition() {
            let partition = append.partition();
            let after = condition.after.as_ref().map_or(0, |after| after.position(partition).0) as usize;
            let mut events = self.partitions[partition.index()].iter().skip(after);
            if let Some(found) = events.find(|event| condition.query.matches(&event.event_type, &event.tags)) {
                facts.matches.insert((partition, condition.clone()), found.place());
            }
        }
        if let Some((name, checkpoint)) = append.tracking().and_then(|t| self.tracking.get_key_value(&t.name)) {
            facts.tracking.insert(name.clone(), checkpoint.clone());
        }
        facts
    }

    /// Writes what was accepted.
    fn write(&mut self, batch: &Batch) {
        for event in batch.events() {
            let events = self.streams.entry(event.stream.clone()).or_insert_with(|| {
                self.began.push(event.stream.clone());
                Vec::new()
            });
            assert_eq!(events.len() as u64, event.version.0, "versions are gapless");
            events.push(Arc::clone(event));
            self.partitions[event.partition.index()].push(Arc::clone(event));
            self.ids.insert(event.id, Arc::clone(event));
            self.last_recorded_at = event.recorded_at;
        }
        self.keys.extend(batch.keys().iter().cloned());
        for tracking in batch.tracking() {
            self.tracking.insert(tracking.name.clone(), tracking.checkpoint.clone());
        }
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, request: AppendRequest) -> Result<AppendOutcome, AppendError> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let mut log = shared.log();
        let heads = log.heads();
        let mut append = request.check(&shared.limits, now, heads.partitions())?;
        append.check_checkpoints(&shared.epochs(), &heads)?;
        schemas::judge(shared.gate.as_deref(), log.registry.generation, &mut append)?;
        Ok(shared.decide(&mut log, append, now))
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        let log = self.shared.log();
        let Some(events) = log.streams.get(&read.stream) else {
            return Err(ReadError::StreamNotFound { stream: read.stream });
        };
        let last = events.len() as u64 - 1;
        let limit = read.limit.clamp(1, self.shared.limits.page_events_max);
        let versions: Box<dyn Iterator<Item = u64> + Send> = match read.direction {
            Direction::Forward => Box::new(read.from.map_or(0, |from| from.0)..=last),
            Direction::Backward => Box::new((0..=read.from.map_or(last, |from| from.0.min(last))).rev()),
        };
        let mut versions = versions.peekable();
        let (mut page, mut bytes) = (Vec::new(), 0);
        while page.len() < limit
            && bytes < self.shared.limits.page_bytes_max
            && let Some(version) = versions.next()
        {
            let event = events[version as usize].with_payload(read.payload);
            bytes += event.size();
            page.push(event);
        }
        let next = versions.peek().copied().map(Version);
        Ok(StreamPage { events: page, next, version: Version(last) })
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        subscription::read_log(&*self.shared, read).await
    }

    async fn subscribe(&self, subscribe: Subscribe) -> Result<Deliveries, ReadError> {
        let source: Arc<dyn LogSource> = Arc::clone(&self.shared) as _;
        subscription::subscribe(source, subscribe).await
    }

    async fn stream(&self, stream: &StreamName) -> Result<Option<StreamInfo>, ReadError> {
        Ok(self.shared.log().info(stream))
    }

    async fn list_streams(&self, list: ListStreams) -> Result<StreamsPage, ReadError> {
        let log = self.shared.log();
        let skip = list.after.unwrap_or(0) as usize;
        let limit = list.limit.clamp(1, self.shared.limits.page_events_max);
        let mut matching = log.began.iter().enumerate().skip(skip).filter(|(_, stream)| list.matches(stream));
        let page: Vec<_> = matching.by_ref().take(limit).collect();
        let more = matching.next().is_some();
        let next = page.last().filter(|_| more).map(|(index, _)| *index as u64 + 1);
        Ok(StreamsPage { streams: page.iter().filter_map(|(_, stream)| log.info(stream)).collect(), next })
    }

    async fn head(&self) -> Result<Checkpoint, ReadError> {
        Ok(self.shared.recent.heads())
    }

    async fn tracking(&self, name: &str) -> Result<Option<Checkpoint>, ReadError> {
        Ok(self.shared.log().tracking.get(name).cloned())
    }

    async fn acquire_lease(&self, name: &str, owner: &str, time_to_live: Duration) -> Result<LeaseOutcome, ReadError> {
        lease::check(name, owner)?;
        let now = self.shared.clock.now();
        let mut log = self.shared.log();
        let outcome = lease::decide(log.leases.get(name), name, owner, time_to_live, now);
        if let LeaseOutcome::Held(lease) = &outcome {
            log.leases.insert(name.to_owned(), lease.clone());
        }
        Ok(outcome)
    }

    async fn release_lease(&self, lease: &Lease) -> Result<bool, ReadError> {
        let now = self.shared.clock.now();
        let mut log = self.shared.log();
        let Some(held) = log.leases.get_mut(&lease.name) else { return Ok(false) };
        Ok(lease::release(held, lease, now))
    }

    async fn backup(&self, _to: &Path) -> Result<u64, ReadError> {
        Err(ReadError::Unsupported {
            reason: "the in-memory store has nothing on disk to back up; use `export`".to_owned(),
        })
    }
}

#[async_trait]
impl RegistryStore for MemoryStore {
    async fn registry(&self) -> Result<Registry, ReadError> {
        Ok(self.shared.log().registry.clone())
    }

    async fn catch_up(&self) -> Result<(), ReadError> {
        // Nobody else has this memory, and each change is handed to the gate.
        Ok(())
    }

    async fn change_registry(&self, change: RegistryChange) -> Result<RegistryOutcome, AppendError> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let mut log = shared.log();
        if change.expected != log.registry.generation {
            return Ok(RegistryOutcome::Moved { current: log.registry.generation });
        }
        let stream = StreamName::from_storage(REGISTRY_STREAM);
        let record = Append::to(stream, ExpectedVersion::Any, change.record.clone());
        let record = record.check_record(&shared.limits, now, log.heads().partitions())?;
        let appended = match shared.decide(&mut log, record, now) {
            AppendOutcome::Appended(appended) if !appended.duplicate => appended,
            _ => return Err(InvalidAppend::new("record", "has events that are in the log already").into()),
        };
        log.registry.apply(&change);
        if let Some(gate) = &shared.gate {
            // Under the lock, so that the next append meets a gate that knows.
            gate.take(log.registry.clone(), false);
        }
        Ok(RegistryOutcome::Changed { generation: log.registry.generation, checkpoint: appended.checkpoint })
    }

    async fn note_reader(&self, mut reader: NamedReader) -> Result<(), ReadError> {
        let mut log = self.shared.log();
        let known = log.readers.get(&reader.name).and_then(|known| known.live_until);
        reader.live_until = reader.live_until.or(known);
        log.readers.insert(reader.name.clone(), reader);
        Ok(())
    }

    async fn named_readers(&self) -> Result<Vec<NamedReader>, ReadError> {
        Ok(self.shared.log().readers.values().cloned().collect())
    }

    async fn tracked_consumers(&self) -> Result<Vec<TrackedConsumer>, ReadError> {
        let log = self.shared.log();
        let consumer = |(name, checkpoint): (&String, &Checkpoint)| TrackedConsumer {
            name: name.as_str().into(),
            checkpoint: checkpoint.clone(),
            moved_at: None,
        };
        let mut consumers: Vec<TrackedConsumer> = log.tracking.iter().map(consumer).collect();
        consumers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(consumers)
    }

    async fn forget_reader(&self, name: &str) -> Result<bool, ReadError> {
        Ok(self.shared.log().readers.remove(name).is_some())
    }
}

impl Log {
    fn info(&self, stream: &StreamName) -> Option<StreamInfo> {
        let last = self.streams.get(stream)?.last()?;
        Some(StreamInfo { stream: stream.clone(), version: last.version, partition: last.partition })
    }
}

#[async_trait]
impl LogSource for Shared {
    fn recent(&self) -> &Recent {
        &self.recent
    }

    fn epochs(&self) -> Epochs {
        Epochs::new(Vec::new())
    }

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    async fn storage_heads(&self) -> Result<Checkpoint, ReadError> {
        Ok(self.log().heads())
    }

    async fn scan(&self, scan: Scan) -> Result<Scanned, ReadError> {
        let log = self.log();
        let mut scanned = Scanned { events: Vec::new(), up_to: scan.after };
        let mut bytes = 0;
        for event in &log.partitions[scan.partition.index()][scan.after.0 as usize..scan.up_to.0 as usize] {
            scanned.up_to = event.position;
            if scan.filter.matches(event) {
                let event = event.with_payload(scan.payload);
                bytes += event.size();
                scanned.events.push(event);
                if scanned.events.len() >= scan.limit || bytes >= self.limits.page_bytes_max {
                    break;
                }
            }
        }
        Ok(scanned)
    }
}
