//! The schema registry's service: registers, deletes, compares, tells who is impacted, and keeps up with what other
//! servers register.
//!
//! `registering` and `changing` change the registry, `comparing` and `impact` only tell, `readers` knows who reads under a
//! name, and `follower` reads the registry again when somebody else changed it. The rules are those of `pacioli_schema`; the
//! rows are kept by the store.

mod changing;
mod comparing;
mod error;
mod follower;
mod impact;
mod readers;
mod registering;
mod sample;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use pacioli_api::schemas::{Change, ReaderStatus, Size};
use pacioli_core::schemas::{Gate, Generation, RegisteredSchema, RegistryStore};
use pacioli_core::store::Measure;
use pacioli_core::{Clock, EventStore, EventType, ReadError, SystemClock, Timestamp};
use pacioli_projection::{ReadModels, WeakReadModels};
use pacioli_schema::{Catalogue, SchemaGate};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use tokio::sync::Mutex;

pub use error::RegistryError;
pub(crate) use readers::{Live, Noting, Skips};

use readers::Readers;

/// How often a change is thought out again that others overtook.
const ATTEMPTS: u32 = 8;
/// The wait before the second attempt; it grows with each.
const ATTEMPT_WAIT: Duration = Duration::from_millis(20);

/// The schema registry of an open store. Cheap to clone; clones share it.
///
/// Changes are made as a whole even where the caller goes away, and are in the stream `$schemas` once they are done.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    gate: Arc<SchemaGate>,
    rows: Arc<dyn RegistryStore>,
    store: Arc<dyn EventStore>,
    clock: Arc<dyn Clock>,
    /// Those of the last server that was started over the store.
    models: RwLock<Option<WeakReadModels>>,
    /// When the rows were last begun to be read; held while they are.
    refreshing: Mutex<Option<Instant>>,
    readers: Readers,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

impl Registry {
    /// The registry of a store that was opened with `gate`: `rows` and `store` are two sides of it.
    pub fn new(gate: Arc<SchemaGate>, rows: Arc<dyn RegistryStore>, store: Arc<dyn EventStore>) -> Registry {
        let clock = SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration)));
        Registry::with_clock(gate, rows, store, Arc::new(clock))
    }

    /// The same by another clock.
    pub fn with_clock(
        gate: Arc<SchemaGate>,
        rows: Arc<dyn RegistryStore>,
        store: Arc<dyn EventStore>,
        clock: Arc<dyn Clock>,
    ) -> Registry {
        let readers = Readers::new(Arc::clone(&rows));
        let (models, refreshing) = (RwLock::default(), Mutex::new(None));
        Registry { inner: Arc::new(Inner { gate, rows, store, clock, models, refreshing, readers }) }
    }

    /// What is registered, as far as this process knows: at most a few seconds behind other servers, and never behind what
    /// was registered here.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.inner.gate.catalogue()
    }

    /// What is registered, at least as new as this call: storage is asked whether it changed.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn refresh(&self) -> Result<Arc<Catalogue>, ReadError> {
        let asked = Instant::now();
        let mut last = self.inner.refreshing.lock().await;
        // Whoever waited here meanwhile is served by the reading that began after it asked.
        if last.is_none_or(|last| last < asked) {
            let began = Instant::now();
            // The store gives it to the gate, since it knows of which past it is.
            self.inner.rows.catch_up().await?;
            *last = Some(began);
        }
        Ok(self.catalogue())
    }

    /// One registered version of a type, or the newest that events may be stored under.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] where there is none.
    pub async fn schema(
        &self,
        event_type: &EventType,
        version: Option<u32>,
    ) -> Result<RegisteredSchema, RegistryError> {
        let catalogue = self.refresh().await?;
        match version {
            Some(version) => Ok(comparing::version_of(&catalogue, event_type.as_str(), version)?.row.clone()),
            None => {
                let newest = catalogue.newest(event_type.as_str()).map(|entry| entry.row.clone());
                newest.ok_or_else(|| RegistryError::NotFound(comparing::no_schema(event_type.as_str())))
            }
        }
    }

    /// The gate that the store was opened with.
    pub fn gate(&self) -> &Arc<SchemaGate> {
        &self.inner.gate
    }

    /// The store as it keeps events: as they were appended, whatever is registered.
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.inner.store
    }

    /// Tells whose projections read the store, for [`Registry::impact`].
    pub fn know_read_models(&self, models: &ReadModels) {
        *self.inner.models.write().unwrap_or_else(PoisonError::into_inner) = Some(models.downgrade());
    }

    fn read_models(&self) -> Option<ReadModels> {
        self.inner.models.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()
    }

    /// Every reader that gave its name, by name: those that this server knows, and those that others wrote down.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn readers(&self) -> Result<Vec<ReaderStatus>, RegistryError> {
        Ok(self.inner.readers.list(self.now()).await?)
    }

    /// Forgets a reader that reads no more, so that no break waits for it.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] where nobody of that name is known, and [`RegistryError::State`] where it follows the log
    /// now.
    pub async fn forget_reader(&self, name: &str) -> Result<(), RegistryError> {
        self.inner.readers.forget(name, self.now()).await
    }

    /// Keeps up with other servers until the future is dropped.
    pub async fn follow(self) {
        follower::follow(self).await;
    }

    /// What `/metrics` shows of it.
    pub(crate) fn measures(&self) -> [Measure; 2] {
        [
            Measure {
                name: "schema_generation",
                help: "How often the schema registry was changed, as far as this server knows",
                value: self.generation().0 as f64,
            },
            Measure {
                name: "schema_readers_not_noted",
                help: "Reads under names that were not noted, since there are too many, since the server began",
                value: self.inner.readers.not_noted() as f64,
            },
        ]
    }

    /// What the gate let pass and counted, since the server began.
    pub(crate) fn let_pass(&self) -> LetPass {
        LetPass(Arc::clone(&self.inner.gate))
    }

    /// How many events were passed over, by reader and type.
    pub(crate) fn skips(&self) -> Skips {
        self.inner.readers.skips()
    }

    pub(crate) fn noting(&self) -> &Readers {
        &self.inner.readers
    }

    fn generation(&self) -> Generation {
        self.inner.gate.generation()
    }

    fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }
}

/// A change in the words of the service.
pub(crate) fn change(change: &pacioli_schema::Change) -> Change {
    let pacioli_schema::Change { path, breaks_backward, breaks_forward, is_visible, sentence } = change.clone();
    Change { path, breaks_backward, breaks_forward, is_visible, sentence }
}

/// A size in the words of the service.
pub(crate) fn size(size: pacioli_schema::Size) -> Size {
    match size {
        pacioli_schema::Size::Patch => Size::Patch,
        pacioli_schema::Size::Minor => Size::Minor,
        pacioli_schema::Size::Major => Size::Major,
    }
}

/// How many events the gate let pass that it has something to say of.
#[derive(Debug)]
pub(crate) struct LetPass(Arc<SchemaGate>);

impl Collector for LetPass {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let counts = [
            (
                "schema_events_warned",
                "Events that were not what their schemas say and were stored all the same since the server began",
                self.0.warned(),
            ),
            (
                "schema_events_without_schema",
                "Events of types without a schema that were stored, where others have one, since the server began",
                self.0.without_schema(),
            ),
            (
                "schema_events_large",
                "Events over 8 KiB that were stored, where types have schemas, since the server began",
                self.0.large(),
            ),
        ];
        for (name, help, count) in counts {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(count).encode(metric)?;
        }
        Ok(())
    }
}
