//! Readers that gave their names: what they read and understand, how far they came, what they wait for.
//!
//! The store keeps a row a name, which is written when a reader begins and ends, when it has to wait, and else now and then;
//! this process knows its own readers to the event.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pacioli_api::schemas::ReaderStatus;
use pacioli_core::schemas::{NamedReader, RegistryStore};
use pacioli_core::{Checkpoint, Clock, EventType, ReadError, Timestamp};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::{Registry, RegistryError};

/// How often a reader that goes on is written down at most.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a reader that follows the log counts as one that does after it was written down, for other servers: one whose
/// server died does not stay for ever.
const LIVE_FOR: Duration = Duration::from_secs(60);
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
    skips: Skips,
}

/// A reader.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) latest: NamedReader,
    /// When it was last written down; `None` where it never was.
    noted: Option<Instant>,
    /// How many subscriptions of this process have its name now.
    live: usize,
    /// Until when, at the latest, this process wrote down that it follows the log.
    said: Option<Timestamp>,
    skipped: u64,
}

impl Readers {
    pub(super) fn new(rows: Arc<dyn RegistryStore>) -> Readers {
        Readers { rows, known: Mutex::default(), skips: Skips::default() }
    }

    pub(super) fn skips(&self) -> Skips {
        self.skips.clone()
    }

    /// How all of them are, by name.
    pub(super) async fn list(&self, now: Timestamp) -> Result<Vec<ReaderStatus>, ReadError> {
        let all = self.all().await?;
        Ok(all.iter().map(|known| ReaderStatus::new(&known.latest, known.is_live(now), known.skipped)).collect())
    }

    /// All of them by name, as the store knows them, or this process where it knows more.
    pub(super) async fn all(&self) -> Result<Vec<Known>, ReadError> {
        let stored = self.rows.named_readers().await?;
        let mut all: BTreeMap<Box<str>, Known> =
            stored.iter().map(|reader| (reader.name.clone(), Known::new(reader))).collect();
        for (name, known) in &*self.known() {
            // One that another server forgot is not brought back by what is remembered here.
            let stored = all.get(name).map(|stored| &stored.latest);
            let is_newer = stored.is_some_and(|stored| stored.read_at <= known.latest.read_at);
            // What this process said of it itself, it knows better; what another one said since is of a later time.
            let elsewhere = stored.and_then(|stored| stored.live_until).filter(|until| Some(*until) > known.said);
            let known =
                Known { latest: NamedReader { live_until: elsewhere, ..known.latest.clone() }, ..known.clone() };
            if is_newer || known.live > 0 {
                all.insert(name.clone(), known);
            } else if let Some(stored) = all.get_mut(name) {
                stored.latest.live_until = elsewhere;
            }
        }
        Ok(all.into_values().collect())
    }

    pub(super) async fn forget(&self, name: &str, now: Timestamp) -> Result<(), RegistryError> {
        if self.all().await?.iter().any(|known| *known.latest.name == *name && known.is_live(now)) {
            return Err(RegistryError::State(format!("`{name}` follows the log now; end it first, or let it go on")));
        }
        self.known().remove(name);
        match self.rows.forget_reader(name).await? {
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
            // The first page of a reader is looked through before it is noted.
            self.known().entry(reader.name.clone()).or_insert_with(|| Known::new(reader)).skipped += 1;
        }
        self.skips.count(reader.map_or("", |reader| &*reader.name), event_type.as_str());
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
}

impl Noting {
    pub(crate) fn new(registry: Registry, reader: Option<NamedReader>) -> Noting {
        Noting { registry, reader }
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
    pub(crate) async fn begin(&self, checkpoint: Option<&Checkpoint>) -> Live {
        if let Some(reader) = &self.reader {
            self.registry.noting().known().entry(reader.name.clone()).or_insert_with(|| Known::new(reader)).live += 1;
        }
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
        let readers = self.registry.noting();
        let latest = {
            let mut all = readers.known();
            if all.len() >= KNOWN_MAX {
                all.retain(|_, known| known.live > 0 || known.noted.is_some_and(|noted| noted.elapsed() < PAUSE));
            }
            let known = all.entry(reader.name.clone()).or_insert_with(|| Known::new(reader));
            let waited_for = known.latest.waits_for.clone();
            known.latest = NamedReader {
                read_at: self.registry.inner.clock.now(),
                checkpoint: checkpoint.cloned().or_else(|| known.latest.checkpoint.take()),
                waits_for: waits_for.map(Box::from),
                live_until: (known.live > 0).then(|| after(self.registry.inner.clock.now(), LIVE_FOR)),
                ..reader.clone()
            };
            let waits_for_another = known.latest.waits_for != waited_for;
            let is_due = known.noted.is_none_or(|noted| noted.elapsed() >= PAUSE);
            if !is_event && !waits_for_another && !is_due {
                return;
            }
            known.noted = Some(Instant::now());
            known.said = known.latest.live_until.or(known.said);
            known.latest.clone()
        };
        write(&*readers.rows, latest).await;
    }
}

impl Known {
    fn new(reader: &NamedReader) -> Known {
        Known { latest: reader.clone(), noted: None, live: 0, said: None, skipped: 0 }
    }

    /// Whether it follows the log, at this server or at another one.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.live > 0 || self.latest.live_until.is_some_and(|until| until > now)
    }
}

/// A time so much later.
fn after(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
}

async fn write(rows: &dyn RegistryStore, reader: NamedReader) {
    let name = reader.name.clone();
    if let Err(error) = rows.note_reader(reader).await {
        // The reader goes on: it is worth more than what is known of it.
        tracing::warn!(reader = %name, %error, "a reader could not be written down");
    }
}

/// A reader that follows the log.
pub(crate) struct Live(Noting);

impl Drop for Live {
    fn drop(&mut self) {
        let Noting { registry, reader: Some(reader) } = &self.0 else { return };
        let latest = {
            let mut all = registry.noting().known();
            let Some(known) = all.get_mut(&reader.name) else { return };
            known.live -= 1;
            known.noted = Some(Instant::now());
            if known.live == 0 {
                known.latest.live_until = Some(registry.inner.clock.now());
            }
            known.latest.clone()
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
