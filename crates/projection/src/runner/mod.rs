//! Drives projections: one task a projection, on the one server that holds its lease.
//!
//! ```text
//!   supervisor ── reads the catalogue twice a second, follows the head, watches for projections that do not move
//!     │
//!     └─ driver, one a projection ── lease `projection/NAME` ── held? then it leads:
//!          │
//!          ├─ workers, one a build, worker and partition ── engine.advance, again and again
//!          └─ chores, at most one of a kind ── swap, copy, verify, refresh
//! ```
//!
//! The lease keeps two servers from doing the same work; what keeps them from applying an event twice is that
//! [`Engine::advance`] moves a build only from where it stands.

mod advancing;
mod chores;
mod driver;
mod lead;
mod observed;
mod pace;
mod supervisor;
mod track;
mod trouble;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use pacioli_core::place::Checkpoint;
use pacioli_core::{EventStore, Timestamp};
use tokio::sync::watch;

use crate::catalogue::Catalogue;
use crate::engine::{Engine, EngineError};
use crate::file::Name;
use crate::service::ReadModelsOptions;

pub(crate) use chores::tell_of_drift;
pub(crate) use observed::Observed;
pub(crate) use supervisor::supervise;
pub(crate) use track::{Generation, Track};

/// What drivers and commands share.
pub(crate) struct Shared {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) options: ReadModelsOptions,
    pub(crate) catalogue: Catalogue,
    /// The head as far as this process knows.
    pub(crate) head: watch::Sender<Checkpoint>,
    pub(crate) observed: Mutex<Observed>,
    tracks: Mutex<BTreeMap<Name, Arc<Track>>>,
}

impl Shared {
    pub(crate) async fn open(
        engine: Arc<dyn Engine>,
        store: Arc<dyn EventStore>,
        options: ReadModelsOptions,
    ) -> Result<Shared, EngineError> {
        let catalogue = Catalogue::open(Arc::clone(&engine)).await?;
        let head = watch::Sender::new(engine.head().await?);
        Ok(Shared { engine, store, options, catalogue, head, observed: Mutex::default(), tracks: Mutex::default() })
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.options.clock.now()
    }

    /// What this process knows of a projection.
    pub(crate) fn track(&self, name: &Name) -> Arc<Track> {
        let mut tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tracks.entry(name.clone()).or_default())
    }

    /// Whether this server advances any build.
    fn advances_any(&self) -> bool {
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner).values().any(|track| track.advances_any())
    }

    /// Somebody learned from the storage that the head is there at least.
    pub(crate) fn see_head(&self, head: &Checkpoint) {
        self.head.send_if_modified(|known| {
            let goes_on = head.epoch() == known.epoch() && head.partitions() == known.partitions();
            if goes_on && !known.covers(head) {
                let further = head.iter().map(|place| place.position.max(known.position(place.partition)));
                *known = Checkpoint::new(further, head.epoch());
                return true;
            }
            let is_new = head.epoch() > known.epoch();
            if is_new {
                *known = head.clone();
            }
            is_new
        });
    }
}
