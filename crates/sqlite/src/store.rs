//! The doors of the embedded store.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};

use pacioli_core::append::{AppendOutcome, AppendRequest};
use pacioli_core::clock::{Clock, SystemClock};
use pacioli_core::group_commit::{GroupCommit, GroupCommitLimits};
use pacioli_core::lease::{self, Lease, LeaseOutcome};
use pacioli_core::recent::{Recent, RecentLimits};
use pacioli_core::schemas::{
    Gate, NamedReader, Registry, RegistryChange, RegistryOutcome, RegistryStore, TrackedConsumer,
};
use pacioli_core::store::{
    AppendError, Deliveries, Epochs, EventStore, ListStreams, LogPage, ReadError, ReadLog, ReadStream, StoreError,
    StreamInfo, StreamPage, StreamsPage,
};
use pacioli_core::subscription::{self, LogSource, Scan, Scanned, Subscribe};
use pacioli_core::{Checkpoint, Limits, StreamName};
use pacioli_projection::file::Name;

use crate::backup::backup;
use crate::directory::DataDirectory;
use crate::error::{Error, Result};
use crate::index::{IndexOptions, IndexViews};
use crate::models;
use crate::pool::{self, ReadPool};
use crate::read::{self, Reader};
use crate::recovery::{self, Recovered};
use crate::registry;
use crate::row::Types;
use crate::schema;
use crate::streams::{HeadCache, NameHash};
use crate::writer::{Command, NotServing, ProjectionCommand, RegistryCommand, SyncBuild, SyncStands, Writer};

/// How to open a store.
#[derive(Clone)]
pub struct SqliteOptions {
    /// How many partitions a new store gets (1 where `None`). An existing store must have as many, where it is given.
    pub partitions: Option<u16>,
    /// The sizes it accepts.
    pub limits: Limits,
    /// The bounds of a batch and of the queue before it.
    pub group_commit: GroupCommitLimits,
    /// How much of the log's end is kept in memory for live followers.
    pub recent: RecentLimits,
    /// How many streams' versions are kept in memory, 32 bytes each.
    pub cached_streams: usize,
    /// How many index entries of a kind are gathered in memory before they are written as a sorted run: more take memory
    /// and time at start, fewer make more runs to merge.
    pub index_tail_entries: usize,
    /// The most bytes that the log's file may grow to, and that of each `sync` projection; appends beyond are refused as on
    /// a full disk. `None` has no bound.
    pub file_bytes_max: Option<u64>,
    /// What holds every event against the schemas that are registered in the store, and shows them to read models in the
    /// newest shape. Without one nothing is appended to a store that has schemas.
    pub gate: Option<Arc<dyn Gate>>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        SqliteOptions {
            partitions: None,
            limits: Limits::default(),
            group_commit: GroupCommitLimits::default(),
            recent: RecentLimits::default(),
            cached_streams: 1 << 21,
            index_tail_entries: IndexOptions::default().freeze_at_entries,
            file_bytes_max: None,
            gate: None,
            clock: Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration)))),
        }
    }
}

/// The embedded store: the log of one data directory. Clones share it; the last one to go closes it.
///
/// ```
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// use pacioli_core::{Append, EventId, EventStore, EventType, ExpectedVersion, NewEvent, StreamName};
/// use pacioli_sqlite::{SqliteOptions, SqliteStore};
///
/// let directory = tempfile::tempdir()?;
/// let store = SqliteStore::open(directory.path(), SqliteOptions::default())?;
/// let opened = NewEvent::json(EventId(uuid::Uuid::from_u128(1)), EventType::new("AccountOpened")?, &b"{}"[..]);
/// store.append(Append::to(StreamName::new("account-42")?, ExpectedVersion::None, vec![opened])).await?;
/// assert_eq!(store.head().await?.to_string(), "0:1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    handle: Arc<Handle>,
}

/// Closes the store when the last clone of it goes.
struct Handle {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    writer: Option<JoinHandle<()>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.take() {
            // The writer aborts the process when it panics, so it ends in no other way.
            let _ = writer.join();
        }
    }
}

/// What the writer and the readers share.
pub(crate) struct Shared {
    pub(crate) queue: GroupCommit,
    pub(crate) recent: Recent,
    pub(crate) types: Types,
    pub(crate) names: NameHash,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) gate: Option<Arc<dyn Gate>>,
    pub(crate) pool: ReadPool,
    /// Why nothing is written any more, once that is so.
    pub(crate) stopped: OnceLock<String>,
    views: IndexViews,
    pub(crate) epochs: Epochs,
    /// The `sync` projections that run in every append's transaction.
    pub(crate) sync: Mutex<Vec<SyncStands>>,
    /// The names (hashed) of streams with an event that cannot be relied on: their next version is not known.
    pub(crate) damaged: HashSet<u128>,
    pub(crate) limits: Limits,
    pub(crate) partitions: u16,
    pub(crate) file_bytes_max: Option<u64>,
    pub(crate) log: PathBuf,
    _directory: DataDirectory,
    /// Goes behind the lock of the directory, which fields that stand above it are dropped before.
    open: watch::Sender<()>,
}

impl SqliteStore {
    /// Opens the store in `directory`, or creates it. Runs recovery; ready when it returns.
    ///
    /// # Errors
    /// A [`StoreError`] that says what to do: the directory is in use, the disk is full, the store is damaged or newer.
    pub fn open(directory: &Path, options: SqliteOptions) -> std::result::Result<SqliteStore, StoreError> {
        let locked = DataDirectory::open(directory)?;
        open(locked, options).map_err(|error| {
            let reason = error.into_store_error().reason;
            StoreError::new(format!("cannot open the store in {}: {reason}", directory.display()))
        })
    }

    /// The number of partitions.
    pub fn partitions(&self) -> u16 {
        self.handle.shared.partitions
    }

    /// What the store shares with its read models.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Resolves when the store is closed: its last clone is gone, and the directory may be opened again.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut open = self.handle.shared.open.subscribe();
        async move { while open.changed().await.is_ok() {} }
    }

    /// Runs a read on a blocking thread with a connection of the pool.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader<'_>) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, ReadError> {
        Ok(read_shared(&self.handle.shared, read).await?)
    }

    async fn command<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T>>) -> Command,
    ) -> std::result::Result<T, ReadError> {
        let (answer, receiver) = oneshot::channel();
        let closed = || Error::Store("the store was closed".to_owned());
        self.handle.commands.send(make(answer)).map_err(|_| closed())?;
        self.handle.shared.queue.wake();
        Ok(receiver.await.map_err(|_| closed())??)
    }

    /// Takes a build to the head and lets it serve in every append's transaction, in the place of the one of its projection
    /// that does. `change` is run once it is there, while nobody appends; where it fails, nothing has changed. Blocks.
    pub(crate) fn serve_sync<E: From<NotServing>>(
        &self,
        build: SyncBuild,
        change: impl FnOnce() -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let (at_head, is_there) = mpsc::sync_channel(1);
        let (confirm, confirmed) = mpsc::sync_channel(1);
        self.ask_projections(ProjectionCommand::Serve { build, at_head, confirmed })?;
        is_there.recv().map_err(|_| NotServing::closed())??;
        change()?;
        confirm.send(()).map_err(|_| NotServing::closed())?;
        Ok(is_there.recv().map_err(|_| NotServing::closed())??)
    }

    /// Lets the build of a projection serve no longer. Blocks.
    pub(crate) fn stop_sync(&self, name: Name) -> std::result::Result<(), NotServing> {
        let (done, is_done) = mpsc::sync_channel(1);
        self.ask_projections(ProjectionCommand::Stop { name, done })?;
        is_done.recv().map_err(|_| NotServing::closed())?
    }

    fn ask_projections(&self, command: ProjectionCommand) -> std::result::Result<(), NotServing> {
        self.handle.commands.send(Command::Projections(command)).map_err(|_| NotServing::closed())?;
        self.handle.shared.queue.wake();
        Ok(())
    }
}

fn open(directory: DataDirectory, options: SqliteOptions) -> Result<SqliteStore> {
    let log = directory.log();
    let conn = pool::open_writer(&log)?;
    if let Some(bytes) = options.file_bytes_max {
        conn.pragma_update(None, "max_page_count", pool::pages_of(bytes))?;
    }
    let settings = schema::migrate(&conn, options.partitions)?;
    directory.sync().map_err(|error| Error::Store(format!("the data directory cannot be synced: {error}")))?;
    let names = NameHash::new(settings.name_key);
    let (heads, newest) = recovery::read_heads(&conn, settings.partitions)?;
    schema::begin_epoch_of_backup(&conn, &heads, options.clock.now())?;
    let epochs = schema::read_epochs(&conn)?;
    let heads = heads.in_epoch(epochs.current());
    let Recovered { indexes, types, last_stream_id, damaged } = recovery::recover(
        &conn,
        &names,
        &heads,
        IndexOptions { freeze_at_entries: options.index_tail_entries.max(1) },
    )?;
    let registry = registry::read(&conn)?;
    let generation = registry.generation;
    if let Some(gate) = &options.gate {
        // As after a rewind: what the file says is what counts, whatever the gate was used for before.
        gate.take(registry, true);
    }
    let sync = models::sync::serving(&conn, &log, &epochs, &heads, options.clock.now(), options.gate.as_ref())?;
    let shared = Arc::new(Shared {
        queue: GroupCommit::new(options.group_commit),
        recent: Recent::new(&heads, options.recent),
        types,
        names,
        clock: options.clock,
        gate: options.gate,
        views: indexes.views(),
        pool: ReadPool::new(log.clone()),
        stopped: OnceLock::new(),
        epochs,
        sync: Mutex::default(),
        damaged,
        limits: options.limits,
        partitions: settings.partitions,
        file_bytes_max: options.file_bytes_max,
        log,
        _directory: directory,
        open: watch::Sender::new(()),
    });
    let (commands, receiver) = mpsc::channel();
    let cache = HeadCache::new(options.cached_streams);
    let mut writer =
        Writer::new(conn, indexes, cache, Arc::clone(&shared), receiver, (last_stream_id, newest, generation));
    writer.serve_at_open(sync);
    let writer = std::thread::Builder::new()
        .name("pacioli-writer".to_owned())
        .spawn(move || writer.run())
        .map_err(|error| Error::Store(format!("the writer's thread cannot be started: {error}")))?;
    Ok(SqliteStore { handle: Arc::new(Handle { shared, commands, writer: Some(writer) }) })
}

async fn read_shared<T: Send + 'static>(
    shared: &Arc<Shared>,
    read: impl FnOnce(&Reader<'_>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let permit = shared.pool.permit().await?;
    let shared = Arc::clone(shared);
    let reading = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        read_here(&shared, read)
    });
    reading.await.unwrap_or_else(|error| Err(Error::Store(format!("a read broke off: {error}"))))
}

/// Runs a read on this thread, which may block.
pub(crate) fn read_here<T>(shared: &Shared, read: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
    // The view first, then any transaction: see `index::IndexView`.
    let view = shared.views.view();
    let conn = shared.pool.take()?;
    let reader = Reader {
        conn: &conn,
        view,
        names: shared.names,
        types: &shared.types,
        limits: shared.limits,
        partitions: shared.partitions,
    };
    let answer = read(&reader);
    drop(reader);
    if conn.is_autocommit() {
        shared.pool.give(conn);
    }
    answer
}

#[async_trait]
impl EventStore for SqliteStore {
    async fn append(&self, append: AppendRequest) -> std::result::Result<AppendOutcome, AppendError> {
        let shared = &self.handle.shared;
        let mut append = append.check(&shared.limits, shared.clock.now(), shared.partitions)?;
        if let Some(gate) = &shared.gate {
            append.set_judged(gate.judge(append.writes()));
        }
        shared.queue.append(append).await
    }

    async fn read_stream(&self, read: ReadStream) -> std::result::Result<StreamPage, ReadError> {
        self.read(move |reader| reader.stream(read)).await
    }

    async fn read_log(&self, read: ReadLog) -> std::result::Result<LogPage, ReadError> {
        subscription::read_log(&*self.source(), read).await
    }

    async fn subscribe(&self, subscribe: Subscribe) -> std::result::Result<Deliveries, ReadError> {
        subscription::subscribe(self.source(), subscribe).await
    }

    async fn stream(&self, stream: &StreamName) -> std::result::Result<Option<StreamInfo>, ReadError> {
        let stream = stream.clone();
        self.read(move |reader| reader.stream_info(&stream)).await
    }

    async fn list_streams(&self, list: ListStreams) -> std::result::Result<StreamsPage, ReadError> {
        self.read(move |reader| reader.list_streams(&list)).await
    }

    async fn head(&self) -> std::result::Result<Checkpoint, ReadError> {
        Ok(self.handle.shared.recent.heads())
    }

    async fn ready(&self) -> std::result::Result<(), ReadError> {
        match self.handle.shared.stopped.get() {
            Some(reason) => Err(StoreError::new(reason.clone()).into()),
            None => Ok(()),
        }
    }

    async fn tracking(&self, name: &str) -> std::result::Result<Option<Checkpoint>, ReadError> {
        let name = name.to_owned();
        let stands = self.read(move |reader| read::tracking(reader.conn, &name)).await?;
        stands.map(|text| stands_at(&text)).transpose()
    }

    async fn acquire_lease(
        &self,
        name: &str,
        owner: &str,
        time_to_live: Duration,
    ) -> std::result::Result<LeaseOutcome, ReadError> {
        lease::check(name, owner)?;
        let (name, owner) = (name.to_owned(), owner.to_owned());
        self.command(|answer| Command::AcquireLease { name, owner, time_to_live, answer }).await
    }

    async fn release_lease(&self, lease: &Lease) -> std::result::Result<bool, ReadError> {
        let lease = lease.clone();
        self.command(|answer| Command::ReleaseLease { lease, answer }).await
    }

    async fn backup(&self, to: &Path) -> std::result::Result<u64, ReadError> {
        let (from, to) = (self.handle.shared.log.clone(), to.to_owned());
        let copying = tokio::task::spawn_blocking(move || backup(&from, &to));
        Ok(copying.await.unwrap_or_else(|error| Err(Error::Store(format!("the backup broke off: {error}"))))?)
    }
}

#[async_trait]
impl RegistryStore for SqliteStore {
    async fn registry(&self) -> std::result::Result<Registry, ReadError> {
        let registry = self
            .read(|reader| {
                reader.conn.execute_batch(sql!("begin_read"))?;
                let registry = registry::read(reader.conn);
                reader.conn.execute_batch(sql!("rollback"))?;
                registry
            })
            .await?;
        if let Some(gate) = &self.handle.shared.gate {
            gate.take(registry.clone(), false);
        }
        Ok(registry)
    }

    async fn catch_up(&self) -> std::result::Result<(), ReadError> {
        // Nobody but this process writes the file, and each change is handed to the gate.
        Ok(())
    }

    async fn change_registry(&self, change: RegistryChange) -> std::result::Result<RegistryOutcome, AppendError> {
        let (answer, receiver) = oneshot::channel();
        let command = Command::Registry(RegistryCommand::Change { change: Box::new(change), answer });
        self.handle.commands.send(command).map_err(|_| AppendError::ShuttingDown)?;
        self.handle.shared.queue.wake();
        let lost = || AppendError::Unknown { reason: "the writer stopped before it answered".to_owned() };
        receiver.await.map_err(|_| lost())?
    }

    async fn note_reader(&self, reader: NamedReader) -> std::result::Result<(), ReadError> {
        let reader = Box::new(reader);
        self.command(|answer| Command::Registry(RegistryCommand::NoteReader { reader, answer })).await
    }

    async fn named_readers(&self) -> std::result::Result<Vec<NamedReader>, ReadError> {
        self.command(|answer| Command::Registry(RegistryCommand::NamedReaders { answer })).await
    }

    async fn tracked_consumers(&self) -> std::result::Result<Vec<TrackedConsumer>, ReadError> {
        let all = self.read(|reader| read::list_tracking(reader.conn)).await?;
        let consumer = |(name, text): (Box<str>, String)| {
            Ok(TrackedConsumer { name, checkpoint: stands_at(&text)?, moved_at: None })
        };
        all.into_iter().map(consumer).collect()
    }

    async fn forget_reader(&self, name: &str) -> std::result::Result<bool, ReadError> {
        let name = name.into();
        self.command(|answer| Command::Registry(RegistryCommand::ForgetReader { name, answer })).await
    }
}

/// Where a consumer stands, as it is stored.
fn stands_at(text: &str) -> std::result::Result<Checkpoint, ReadError> {
    text.parse().map_err(|_| ReadError::Store(StoreError::new(format!("a consumer stands at `{text}`"))))
}

impl SqliteStore {
    /// The store as the subscription loop sees it. It holds a handle, so a subscription keeps the store open.
    fn source(&self) -> Arc<Source> {
        Arc::new(Source { handle: Arc::clone(&self.handle) })
    }
}

struct Source {
    handle: Arc<Handle>,
}

#[async_trait]
impl LogSource for Source {
    fn recent(&self) -> &Recent {
        &self.handle.shared.recent
    }

    fn epochs(&self) -> Epochs {
        self.handle.shared.epochs.clone()
    }

    fn clock(&self) -> &dyn Clock {
        &*self.handle.shared.clock
    }

    fn limits(&self) -> Limits {
        self.handle.shared.limits
    }

    /// The writer of this process is the only one, and it publishes what it commits: nobody else can be ahead.
    async fn storage_heads(&self) -> std::result::Result<Checkpoint, ReadError> {
        Ok(self.handle.shared.recent.heads())
    }

    async fn scan(&self, scan: Scan) -> std::result::Result<Scanned, ReadError> {
        Ok(read_shared(&self.handle.shared, move |reader| reader.scan(&scan)).await?)
    }
}
