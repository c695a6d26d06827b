//! Readers that gave their names: what they read and understand, how far they came, what they wait for.
//!
//! The store keeps a row a name, which is written when a reader begins and ends, when it has to wait, and else now and then;
//! this process knows its own readers to the event. A name stands for all that read under it: `claims` tells what they read
//! together, and `places` bounds how many names there are.

mod claims;
mod places;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pacioli_api::schemas::ReaderStatus;
use pacioli_core::schemas::{NamedReader, RegistryStore, TrackedConsumer};
use pacioli_core::{Checkpoint, EventType, ReadError, Timestamp};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::{Registry, RegistryError};
use claims::Claims;
use places::{Place, Places};

pub(super) use claims::reads;

/// How often a reader that goes on is written down at most.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a reader that follows the log counts as one that does after it was written down, for other servers: one whose
/// server died does not stay for ever.
const LIVE_FOR: Duration = Duration::from_secs(60);
/// One that has not read for so long is gone: nobody asks for it any more.
const GONE_AFTER: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Readers that this process remembers at most, beside those that follow the log now.
const KNOWN_MAX: usize = 10_000;
/// Series of skipped events at most; what comes beyond is counted together.
const SERIES_MAX: usize = 1_000;
/// Bytes of a reader's name at most.
const NAME_BYTES_MAX: usize = 256;

/// The readers that this process knows.
pub(crate) struct Readers {
    rows: Arc<dyn RegistryStore>,
    known: Mutex<HashMap<Box<str>, Known>>,
    places: Places,
    /// How many began to follow the log.
    claims: AtomicU64,
    skips: Skips,
}

/// A name as this process knows it.
struct Known {
    latest: NamedReader,
    /// Those that follow the log under it.
    claims: Claims,
    /// When it was last written down; `None` where it never was.
    noted: Option<Timestamp>,
    /// Until when, at the latest, this process wrote down that it follows the log.
    said: Option<Timestamp>,
    skipped: u64,
}

/// A reader that gave its name.
pub(super) struct Reader {
    pub(super) latest: NamedReader,
    /// Whether it follows the log, at this server or at another one.
    pub(super) is_live: bool,
    skipped: u64,
}

impl Reader {
    /// The consumer of the same name whose appends carry its checkpoint.
    pub(super) fn tracked<'t>(&self, tracked: &'t [TrackedConsumer]) -> Option<&'t TrackedConsumer> {
        tracked.iter().find(|consumer| consumer.name == self.latest.name)
    }

    /// Whether it is not to be asked for any more.
    pub(super) fn is_gone(&self, tracked: &[TrackedConsumer], now: Timestamp) -> bool {
        let moved_at = self.tracked(tracked).and_then(|consumer| consumer.moved_at);
        is_gone(moved_at.unwrap_or_default().max(self.latest.read_at), self.is_live, now)
    }
}

impl Readers {
    pub(super) fn new(rows: Arc<dyn RegistryStore>) -> Readers {
        let (known, places, claims) = (Mutex::default(), Places::default(), AtomicU64::new(0));
        Readers { rows, known, places, claims, skips: Skips::default() }
    }

    pub(super) fn skips(&self) -> Skips {
        self.skips.clone()
    }

    /// How many reads were not noted, since there are too many names.
    pub(super) fn not_noted(&self) -> u64 {
        self.places.not_noted()
    }

    /// How all of them are, by name.
    pub(super) async fn list(&self, now: Timestamp) -> Result<Vec<ReaderStatus>, ReadError> {
        let (all, tracked) = (self.all(now).await?, self.rows.tracked_consumers().await?);
        let status = |reader: &Reader| ReaderStatus {
            live: reader.is_live,
            gone: reader.is_gone(&tracked, now),
            ..ReaderStatus::new(&reader.latest, reader.skipped)
        };
        Ok(all.iter().map(status).collect())
    }

    /// All of them by name, as the store knows them, or this process where it knows more.
    pub(super) async fn all(&self, now: Timestamp) -> Result<Vec<Reader>, ReadError> {
        let stored = self.rows.named_readers().await?;
        let is_ahead = |until: Option<Timestamp>| until.is_some_and(|until| until > now);
        let of_store = |latest: NamedReader| {
            (latest.name.clone(), Reader { is_live: is_ahead(latest.live_until), latest, skipped: 0 })
        };
        let mut all: BTreeMap<Box<str>, Reader> = stored.into_iter().map(of_store).collect();
        for (name, known) in &mut *self.known() {
            known.tell(now);
            let is_here = known.claims.is_live();
            let Some(stored) = all.get_mut(name) else {
                // One that another server forgot is not brought back by what is remembered here.
                if is_here {
                    let reader = Reader { latest: known.latest.clone(), is_live: true, skipped: known.skipped };
                    all.insert(name.clone(), reader);
                }
                continue;
            };
            // What this process said of it itself, it knows better; what another one said since is of a later time.
            let is_elsewhere = is_ahead(stored.latest.live_until.filter(|until| Some(*until) > known.said));
            if is_here && is_elsewhere {
                let both = claims::together(&[&known.latest, &stored.latest]);
                stored.latest = both.unwrap_or_else(|| known.latest.clone());
            } else if is_here || stored.latest.read_at <= known.latest.read_at {
                stored.latest = known.latest.clone();
            }
            (stored.is_live, stored.skipped) = (is_here || is_elsewhere, known.skipped);
        }
        Ok(all.into_values().collect())
    }

    pub(super) async fn forget(&self, name: &str, now: Timestamp) -> Result<(), RegistryError> {
        if self.all(now).await?.iter().any(|reader| *reader.latest.name == *name && reader.is_live) {
            return Err(RegistryError::State(format!("`{name}` follows the log now; end it first, or let it go on")));
        }
        self.known().remove(name);
        let is_forgotten = self.rows.forget_reader(name).await?;
        self.places.free(name).await;
        match is_forgotten {
            true => Ok(()),
            false => Err(RegistryError::NotFound(format!(
                "no reader gave the name `{name}`; `pacioli schema readers` and GET /v1/readers show those that did. A consumer \
                 that is known by the checkpoint of its appends stays: acknowledge it"
            ))),
        }
    }

    /// Counts an event that was passed over.
    fn skip(&self, reader: Option<&NamedReader>, event_type: &EventType) {
        if let Some(reader) = reader {
            let mut all = self.known();
            // The first page of a reader is looked through before it is noted.
            if all.len() < KNOWN_MAX || all.contains_key(&reader.name) {
                all.entry(reader.name.clone()).or_insert_with(|| Known::new(reader)).skipped += 1;
            }
        }
        self.skips.count(reader.map_or("", |reader| &*reader.name), event_type.as_str());
    }

    /// Whether a reader of this name may be noted.
    async fn has_place(&self, name: &str, now: Timestamp) -> bool {
        if self.known().get(name).is_some_and(|known| known.noted.is_some()) {
            return true;
        }
        let is_live = |name: &str| self.known().get(name).is_some_and(|known| known.claims.is_live());
        match self.places.take(&*self.rows, name, now, is_live).await {
            Ok(Place::Has) => true,
            Ok(Place::Of(gone)) => {
                self.known().remove(&gone);
                tracing::info!(reader = name, %gone, "a reader that is gone was forgotten for a new one");
                true
            }
            Ok(Place::None) => {
                self.known().remove(name);
                self.places.refuse(name, now);
                false
            }
            Err(error) => {
                warn_not_written(name, &error);
                false
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Box<str>, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one read or subscription tells of its reader.
#[derive(Clone)]
pub(crate) struct Noting {
    registry: Registry,
    /// What does not change; `None` where it gave no name.
    reader: Option<NamedReader>,
    /// Its number, where it follows the log.
    claim: Option<u64>,
}

impl Noting {
    pub(crate) fn new(registry: Registry, reader: Option<NamedReader>) -> Noting {
        Noting { registry, reader, claim: None }
    }

    /// # Errors
    /// What is wrong with a reader's name, as the rest of a sentence.
    pub(crate) fn check_name(name: &str) -> Result<(), String> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(format!("must have 1 to {NAME_BYTES_MAX} bytes and no control character"));
        }
        Ok(())
    }

    /// The reader has come here. It is written down where it waits, or no longer does, and else where it has not been for
    /// a while.
    pub(crate) async fn read(&self, checkpoint: Option<&Checkpoint>, waits_for: Option<&str>) {
        self.note(checkpoint, waits_for, false).await;
    }

    /// The reader begins to follow the log. It ends when what comes back is dropped.
    pub(crate) async fn begin(&mut self, checkpoint: Option<&Checkpoint>) -> Live {
        self.claim = Some(self.registry.noting().claims.fetch_add(1, Ordering::Relaxed));
        let live = Live(self.clone());
        self.note(checkpoint, None, true).await;
        live
    }

    /// Counts an event that was passed over.
    pub(crate) fn skip(&self, event_type: &EventType) {
        self.registry.noting().skip(self.reader.as_ref(), event_type);
    }

    async fn note(&self, checkpoint: Option<&Checkpoint>, waits_for: Option<&str>, is_event: bool) {
        let Some(reader) = &self.reader else { return };
        let (readers, now) = (self.registry.noting(), self.registry.now());
        if !readers.has_place(&reader.name, now).await {
            return;
        }
        let latest = {
            let mut all = readers.known();
            if all.len() >= KNOWN_MAX {
                all.retain(|_, known| known.claims.is_live() || !known.is_due(now));
            }
            let known = all.entry(reader.name.clone()).or_insert_with(|| Known::new(reader));
            let (checkpoint, waits_for) = (checkpoint.cloned(), waits_for.map(Box::from));
            let read = NamedReader { read_at: now, checkpoint, waits_for, ..reader.clone() };
            let waits_for_another = known.read(read, self.claim, now);
            if !is_event && !waits_for_another && !known.is_due(now) {
                return;
            }
            known.tell(now);
            known.latest.live_until = known.claims.is_live().then(|| after(now, LIVE_FOR));
            known.note(now)
        };
        write(&*readers.rows, latest).await;
    }
}

impl Known {
    fn new(reader: &NamedReader) -> Known {
        Known { latest: reader.clone(), claims: Claims::default(), noted: None, said: None, skipped: 0 }
    }

    /// One has read. Returns whether it waits for something else than before.
    fn read(&mut self, reader: NamedReader, claim: Option<u64>, now: Timestamp) -> bool {
        if let Some(claim) = claim {
            return self.claims.follow(claim, reader);
        }
        if self.claims.is_live() {
            self.claims.read(now, reader);
            return false;
        }
        self.claims.clear();
        let waits_for_another = self.latest.waits_for != reader.waits_for;
        let checkpoint = reader.checkpoint.or_else(|| self.latest.checkpoint.take());
        self.latest = NamedReader { checkpoint, ..reader };
        waits_for_another
    }

    /// Says what all read that follow the log under the name; where none does, what was last said stays.
    fn tell(&mut self, now: Timestamp) {
        if self.claims.is_live()
            && let Some(told) = self.claims.together(now)
        {
            let checkpoint = told.checkpoint.or_else(|| self.latest.checkpoint.take());
            self.latest = NamedReader { checkpoint, live_until: self.latest.live_until, ..told };
        }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        // A clock that was set back is no reason to wait.
        self.noted.is_none_or(|noted| after(noted, PAUSE) <= now || noted > now)
    }

    /// What is written down now.
    fn note(&mut self, now: Timestamp) -> NamedReader {
        self.noted = Some(now);
        self.said = self.latest.live_until.max(self.said);
        self.latest.clone()
    }
}

/// A time so much later.
fn after(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
}

/// Whether one that last read then is not to be asked for any more.
fn is_gone(read_at: Timestamp, is_live: bool, now: Timestamp) -> bool {
    !is_live && after(read_at, GONE_AFTER) <= now
}

async fn write(rows: &dyn RegistryStore, reader: NamedReader) {
    let name = reader.name.clone();
    if let Err(error) = rows.note_reader(reader).await {
        warn_not_written(&name, &error);
    }
}

/// The reader goes on: it is worth more than what is known of it.
fn warn_not_written(name: &str, error: &ReadError) {
    tracing::warn!(reader = name, %error, "a reader could not be written down");
}

/// A reader that follows the log.
pub(crate) struct Live(Noting);

impl Drop for Live {
    fn drop(&mut self) {
        let Noting { registry, reader: Some(reader), claim: Some(claim) } = &self.0 else { return };
        let now = registry.now();
        let latest = {
            let mut all = registry.noting().known();
            let Some(known) = all.get_mut(&reader.name) else { return };
            known.tell(now);
            // One that had no place was never known.
            if !known.claims.end(*claim, now) {
                return;
            }
            known.tell(now);
            let is_live = known.claims.is_live();
            known.latest.live_until = Some(if is_live { after(now, LIVE_FOR) } else { now });
            known.note(now)
        };
        let rows = Arc::clone(&registry.inner.rows);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { write(&*rows, latest).await });
        }
    }
}

/// How many events were passed over, by reader and type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Skips(Arc<Mutex<BTreeMap<(String, String), u64>>>);

impl Skips {
    fn count(&self, reader: &str, event_type: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (reader.to_owned(), event_type.to_owned());
        let key = match counts.len() < SERIES_MAX || counts.contains_key(&key) {
            true => key,
            false => ("(others)".to_owned(), "(others)".to_owned()),
        };
        *counts.entry(key).or_default() += 1;
    }
}

impl Collector for Skips {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.is_empty() {
            return Ok(());
        }
        let help = "Events that were passed over because their reader does not understand them, by reader and type";
        let mut family = encoder.encode_descriptor("schema_events_skipped", help, None, MetricType::Counter)?;
        for ((reader, event_type), count) in &*counts {
            let labels = [("reader", reader.as_str()), ("type", event_type.as_str())];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
