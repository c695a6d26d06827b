//! A store whose leases lie, as they seem to for a server that was asleep or cut off.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pacioli_core::memory::MemoryStore;
use pacioli_core::{
    AppendError, AppendOutcome, AppendRequest, Checkpoint, Deliveries, Epoch, EventStore, Lease, LeaseOutcome,
    ListStreams, LogPage, ReadError, ReadLog, ReadStream, StoreError, StreamInfo, StreamName, StreamPage, StreamsPage,
    Subscribe, Timestamp,
};

use super::Rewinds;
use super::random::Random;

/// One server's way to the store.
pub(crate) struct ServerStore {
    store: MemoryStore,
    epochs: Arc<Rewinds>,
    lies: Mutex<Lies>,
}

/// What this server is told instead of the truth.
#[derive(Default)]
pub(crate) struct Lies {
    pub(crate) random: Option<Random>,
    /// One of so many answers about leases says that another holds it.
    pub(crate) taken_one_in: u64,
    /// One of so many answers about leases says that it is held, whoever holds it.
    pub(crate) held_one_in: u64,
    /// Leases cannot be asked for.
    pub(crate) leases_are_down: bool,
    /// Appends fail.
    pub(crate) appends_are_down: bool,
}

impl ServerStore {
    pub(crate) fn new(store: MemoryStore, epochs: Arc<Rewinds>) -> Arc<ServerStore> {
        Arc::new(ServerStore { store, epochs, lies: Mutex::default() })
    }

    pub(crate) fn lies(&self) -> std::sync::MutexGuard<'_, Lies> {
        self.lies.lock().unwrap()
    }
}

#[async_trait]
impl EventStore for ServerStore {
    async fn append(&self, append: AppendRequest) -> Result<AppendOutcome, AppendError> {
        if self.lies().appends_are_down {
            return Err(AppendError::Store(StoreError::new("the disk is full")));
        }
        self.store.append(append).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        self.store.read_stream(read).await
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        let (epochs, head) = (self.epochs.epochs(), self.head().await?);
        let after = epochs.resolve(read.after.as_ref(), &head)?;
        let page = self.store.read_log(ReadLog { after: Some(after.in_epoch(Epoch::FIRST)), ..read }).await?;
        let today = |checkpoint: Checkpoint| checkpoint.in_epoch(epochs.current());
        Ok(LogPage {
            from: today(page.from),
            checkpoint: today(page.checkpoint),
            head: today(page.head),
            events: page.events,
        })
    }

    async fn subscribe(&self, subscribe: Subscribe) -> Result<Deliveries, ReadError> {
        self.store.subscribe(subscribe).await
    }

    async fn stream(&self, stream: &StreamName) -> Result<Option<StreamInfo>, ReadError> {
        self.store.stream(stream).await
    }

    async fn list_streams(&self, list: ListStreams) -> Result<StreamsPage, ReadError> {
        self.store.list_streams(list).await
    }

    async fn head(&self) -> Result<Checkpoint, ReadError> {
        Ok(self.store.head().await?.in_epoch(self.epochs.epochs().current()))
    }

    async fn tracking(&self, name: &str) -> Result<Option<Checkpoint>, ReadError> {
        self.store.tracking(name).await
    }

    async fn acquire_lease(&self, name: &str, owner: &str, time_to_live: Duration) -> Result<LeaseOutcome, ReadError> {
        {
            let mut lies = self.lies();
            if lies.leases_are_down {
                return Err(ReadError::Store(StoreError::new("the store is away")));
            }
            let (taken, held) = (lies.taken_one_in, lies.held_one_in);
            let lease = |owner: &str| Lease {
                name: name.to_owned(),
                owner: owner.to_owned(),
                token: 1,
                expires_at: Timestamp::from_micros(i64::MAX),
            };
            if let Some(random) = lies.random.as_mut().filter(|_| name.starts_with("projection/")) {
                if random.one_in(taken) {
                    return Ok(LeaseOutcome::Taken(lease("somebody else")));
                }
                if random.one_in(held) {
                    return Ok(LeaseOutcome::Held(lease(owner)));
                }
            }
        }
        self.store.acquire_lease(name, owner, time_to_live).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<bool, ReadError> {
        self.store.release_lease(lease).await
    }

    async fn backup(&self, to: &Path) -> Result<u64, ReadError> {
        self.store.backup(to).await
    }
}
