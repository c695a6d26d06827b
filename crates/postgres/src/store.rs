//! The doors of the PostgreSQL store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pacioli_core::append::{AppendOutcome, AppendRequest};
use pacioli_core::clock::{Clock, SystemClock};
use pacioli_core::group_commit::{GroupCommit, GroupCommitLimits};
use pacioli_core::lease::{self, Lease, LeaseOutcome};
use pacioli_core::recent::{Recent, RecentLimits};
use pacioli_core::schemas::Gate;
use pacioli_core::store::{
    AppendError, Bus, Deliveries, Epochs, EventStore, ListStreams, LogPage, Measure, ReadError, ReadLog, ReadStream,
    StoreError, StreamInfo, StreamPage, StreamsPage,
};
use pacioli_core::subscription::{self, LogSource, Scan, Scanned, Subscribe};
use pacioli_core::{Checkpoint, Limits, StreamName};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;

use crate::bus;
use crate::connect::{Connector, Purpose};
use crate::error::{Error, Result};
use crate::leases;
use crate::location::Location;
use crate::maintenance;
use crate::migrate::{self, CHUNK_EVENTS_DEFAULT, NewStore};
use crate::read;
use crate::shared::{ReadPool, Shared, ask_heads, read_epochs, read_heads, read_pool, reader};
use crate::writer;

/// A writer that has taken an append answers within [`PostgresOptions::answer_within`]; so much later nobody waits any more.
const ANSWER_GRACE: Duration = Duration::from_secs(1);

/// How long a page goes on asking a database that is away, before its reader is told.
const READ_PATIENCE: Duration = Duration::from_secs(10);
/// How long a subscription does: recovery after a crash and a failover by hand take minutes.
const FOLLOW_PATIENCE: Duration = Duration::from_secs(600);
/// How long it pauses in between.
const READ_PAUSE: Duration = Duration::from_millis(100);

/// How to open a store.
#[derive(Clone)]
pub struct PostgresOptions {
    /// How many partitions a new store gets (what the URL says, or 1, where `None`). An existing store must have as many,
    /// where it is given.
    pub partitions: Option<u16>,
    /// The sizes it accepts.
    pub limits: Limits,
    /// The bounds of a batch and of each writer's queue.
    pub group_commit: GroupCommitLimits,
    /// How much of the log's end is kept in memory for live followers.
    pub recent: RecentLimits,
    /// Connections that append, at most; with fewer partitions there is one each.
    pub writers: usize,
    /// Connections that read, at most.
    pub readers: usize,
    /// Positions of one chunk of a new store.
    pub chunk_events: u64,
    /// How long an append may take until it is answered that nothing was stored, or that its outcome is unknown.
    pub answer_within: Duration,
    /// Subscribers get the batches of this process by the bus too, as everybody else's, and not from memory. To compare.
    pub own_by_bus: bool,
    /// Never take a replication slot; look for the events of others instead.
    pub poll_only: bool,
    /// Make no store: who only reads has nothing to look for in one that would be made for it.
    pub must_exist: bool,
    /// Use a database that may lose acknowledged appends: one with `fsync` or `full_page_writes` off.
    pub accept_data_loss: bool,
    /// What events are held against before they are stored. Without one, a store in which schemas are registered takes none.
    /// It is this store's alone.
    pub gate: Option<Arc<dyn Gate>>,
    /// Where time comes from, for what is not recorded: the log's time is the database's.
    pub clock: Arc<dyn Clock>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        PostgresOptions {
            partitions: None,
            limits: Limits::default(),
            group_commit: GroupCommitLimits::default(),
            recent: RecentLimits::default(),
            writers: 16,
            readers: 16,
            chunk_events: CHUNK_EVENTS_DEFAULT,
            answer_within: Duration::from_secs(8),
            own_by_bus: false,
            poll_only: false,
            must_exist: false,
            accept_data_loss: false,
            gate: None,
            clock: Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration)))),
        }
    }
}

/// The store in one schema of a PostgreSQL database. Clones share it; the last one to go closes it.
///
/// Any number of processes may open the same store and append to it. Opening makes what is missing, where the role may.
///
/// ```no_run
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// use pacioli_core::{Append, EventId, EventStore, EventType, ExpectedVersion, NewEvent, StreamName};
/// use pacioli_postgres::{PostgresOptions, PostgresStore};
///
/// let location = "postgres://app@localhost/shop?schema=pacioli".parse()?;
/// let store = PostgresStore::open(location, PostgresOptions::default()).await?;
/// let opened = NewEvent::json(EventId(uuid::Uuid::from_u128(1)), EventType::new("AccountOpened")?, &b"{}"[..]);
/// store.append(Append::to(StreamName::new("account-42")?, ExpectedVersion::None, vec![opened])).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    handle: Arc<Handle>,
}

/// Closes the store when the last clone of it goes.
struct Handle {
    shared: Arc<Shared>,
    pool: ReadPool,
    made: Vec<String>,
    /// They finish what is queued and end by themselves.
    _writers: Vec<JoinHandle<()>>,
    /// They run for ever.
    others: Vec<JoinHandle<()>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queues.iter().for_each(GroupCommit::close);
        self.others.iter().for_each(JoinHandle::abort);
        self.pool.close();
    }
}

impl PostgresStore {
    /// Opens the store at `location`, or creates it. Must be called inside a Tokio runtime, which then drives it.
    ///
    /// # Errors
    /// A [`StoreError`] that says what to do: the database cannot be reached, does not keep what it acknowledges, or the
    /// role may not make what is missing.
    pub async fn open(location: Location, options: PostgresOptions) -> std::result::Result<PostgresStore, StoreError> {
        let connector = Connector::new(location)?;
        let connector = if options.accept_data_loss { connector } else { connector.that_keeps() };
        open(connector, options).await.map_err(Error::into_store_error)
    }

    /// The number of partitions.
    pub fn partitions(&self) -> u16 {
        self.handle.shared.partitions
    }

    /// What was missing and was made when the store was opened, a line each.
    pub fn made(&self) -> &[String] {
        &self.handle.made
    }

    /// The store as the subscription loop sees it. It holds a handle, so a subscription keeps the store open.
    fn source(&self, patience: Duration) -> Arc<Source> {
        Arc::new(Source { handle: Arc::clone(&self.handle), patience })
    }

    /// Connections that read the log.
    pub(crate) fn pool(&self) -> &ReadPool {
        &self.handle.pool
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}

async fn open(connector: Connector, options: PostgresOptions) -> Result<PostgresStore> {
    let session = connector.connect(Purpose::Maintain).await?;
    let location = connector.location();
    let partitions = options.partitions.or(location.partitions());
    let new = NewStore { partitions: partitions.unwrap_or(1), chunk_events: options.chunk_events };
    let made = if options.must_exist {
        migrate::check_existing(&session, location.schema()).await?;
        Vec::new()
    } else {
        migrate::migrate(&session, location.schema(), new).await?
    };
    match session.execute(sql!("meet_database"), &[&0_i32]).await.map_err(Error::from) {
        // Who may only read takes the epochs as they are; whoever appends begins the next.
        Err(error) if options.must_exist && error.state() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {}
        met => drop(met?),
    }
    let chunk_events = migrate::check_partitions(&session, location.schema(), partitions).await?;
    let epochs = read_epochs(&session).await?;
    let heads = read_heads(&session, epochs.current()).await?;
    let identity = session.surroundings.identity;
    let shared = Arc::new(Shared::new(connector, identity, epochs, &heads, chunk_events, &options));
    if shared.gate.is_some() {
        shared.take_registry(&session).await?;
    }
    let pool = read_pool(Arc::clone(&shared), options.readers);
    let writers =
        (0..shared.queues.len()).map(|number| tokio::spawn(writer::run(Arc::clone(&shared), number))).collect();
    let mut others = vec![tokio::spawn(bus::follow(Arc::clone(&shared), pool.clone(), options.poll_only))];
    // Who only reads needs no room.
    if !options.must_exist {
        others.push(tokio::spawn(maintenance::keep(Arc::clone(&shared))));
    }
    Ok(PostgresStore { handle: Arc::new(Handle { shared, pool, made, _writers: writers, others }) })
}

/// Where a consumer stands, as it is stored.
pub(crate) fn stands_at(name: &str, text: &str) -> std::result::Result<Checkpoint, ReadError> {
    text.parse().map_err(|_| ReadError::Store(StoreError::new(format!("consumer `{name}` stands at `{text}`"))))
}

#[async_trait]
impl EventStore for PostgresStore {
    async fn append(&self, append: AppendRequest) -> std::result::Result<AppendOutcome, AppendError> {
        let shared = self.shared();
        let mut append = append.check(&shared.limits, shared.clock.now(), shared.partitions)?;
        // Before the queue, so that nobody waits while others are judged.
        if let Some(gate) = &shared.gate {
            append.set_judged(gate.judge(append.writes()));
        }
        let patience = shared.answer_within + ANSWER_GRACE;
        let withdrawn = || {
            AppendError::Store(StoreError::new(format!(
                "the append waited {} s for others before it, which had no answer from the database; look at its state",
                patience.as_secs()
            )))
        };
        let queue = shared.queue(append.partition());
        queue.append_within(append, tokio::time::sleep(patience), withdrawn).await
    }

    async fn read_stream(&self, read: ReadStream) -> std::result::Result<StreamPage, ReadError> {
        let shared = self.shared();
        let session = reader(&self.handle.pool).await?;
        let page = read::stream(&session, read, &shared.limits, shared.partitions, shared.chunk_events);
        Ok(session.within(page).await?)
    }

    async fn read_log(&self, read: ReadLog) -> std::result::Result<LogPage, ReadError> {
        subscription::read_log(&*self.source(READ_PATIENCE), read).await
    }

    async fn subscribe(&self, subscribe: Subscribe) -> std::result::Result<Deliveries, ReadError> {
        subscription::subscribe(self.source(FOLLOW_PATIENCE), subscribe).await
    }

    async fn stream(&self, stream: &StreamName) -> std::result::Result<Option<StreamInfo>, ReadError> {
        let session = reader(&self.handle.pool).await?;
        let partition = stream.partition(self.partitions());
        let version = session.within(read::stream_version(&session, stream, partition)).await?;
        Ok(version.map(|version| StreamInfo { stream: stream.clone(), version, partition }))
    }

    async fn list_streams(&self, list: ListStreams) -> std::result::Result<StreamsPage, ReadError> {
        let session = reader(&self.handle.pool).await?;
        Ok(session.within(read::list_streams(&session, &list, &self.shared().limits)).await?)
    }

    async fn head(&self) -> std::result::Result<Checkpoint, ReadError> {
        Ok(self.source(READ_PATIENCE).heads().await?)
    }

    async fn ready(&self) -> std::result::Result<(), ReadError> {
        match self.shared().stopped.get() {
            Some(reason) => Err(StoreError::new(reason.clone()).into()),
            None => self.head().await.map(|_| ()),
        }
    }

    fn bus(&self) -> Bus {
        self.shared().bus()
    }

    fn measures(&self) -> Vec<Measure> {
        let counters = &self.shared().counters;
        let count =
            |name, help, counter: &AtomicU64| Measure { name, help, value: counter.load(Ordering::Relaxed) as f64 };
        vec![
            count("postgres_writer_connections", "Connections that writers have made", &counters.reconnects),
            count("postgres_batches_retried", "Batches that were sent again", &counters.batches_retried),
            count(
                "postgres_unknown_outcomes",
                "Batches whose connection broke around COMMIT",
                &counters.unknown_outcomes,
            ),
            count("postgres_bus_connections", "Replication sessions that were begun", &counters.bus_reconnects),
            count("postgres_bus_commits", "Commits that the slot announced", &counters.bus_commits),
            count("postgres_gap_reads", "Reads of what other writers appended", &counters.gap_reads),
            count("postgres_chunks_ahead", "Chunks that are made beyond the head", &counters.chunks_ahead),
            Measure {
                name: "postgres_epoch",
                help: "The current epoch",
                value: f64::from(self.shared().recent.epoch().0),
            },
        ]
    }

    async fn tracking(&self, name: &str) -> std::result::Result<Option<Checkpoint>, ReadError> {
        let session = reader(&self.handle.pool).await?;
        let find = async { Ok(session.query_opt(sql!("read_checkpoint"), &[&name]).await?) };
        let row = session.within(find).await?;
        row.map(|row| stands_at(name, row.get(0))).transpose()
    }

    async fn acquire_lease(
        &self,
        name: &str,
        owner: &str,
        time_to_live: Duration,
    ) -> std::result::Result<LeaseOutcome, ReadError> {
        lease::check(name, owner)?;
        let session = self.shared().connect(Purpose::Maintain).await?;
        let schema = self.shared().connector.location().schema();
        Ok(session.within(leases::acquire(&session, schema, name, owner, time_to_live)).await?)
    }

    async fn release_lease(&self, lease: &Lease) -> std::result::Result<bool, ReadError> {
        let session = self.shared().connect(Purpose::Maintain).await?;
        let schema = self.shared().connector.location().schema();
        Ok(session.within(leases::release(&session, schema, lease)).await?)
    }

    async fn backup(&self, _to: &Path) -> std::result::Result<u64, ReadError> {
        Err(ReadError::Unsupported {
            reason: "the PostgreSQL store is backed up with its database: use pg_basebackup, or `pacioli export`"
                .to_owned(),
        })
    }
}

struct Source {
    handle: Arc<Handle>,
    /// How long it asks a database that is away.
    patience: Duration,
}

#[async_trait]
impl LogSource for Source {
    fn recent(&self) -> &Recent {
        &self.handle.shared.recent
    }

    fn epochs(&self) -> Epochs {
        self.handle.shared.epochs()
    }

    fn clock(&self) -> &dyn Clock {
        &*self.handle.shared.clock
    }

    fn limits(&self) -> Limits {
        self.handle.shared.limits
    }

    async fn storage_heads(&self) -> std::result::Result<Checkpoint, ReadError> {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.heads().await {
                Err(error) if goes_on(&error, deadline) => tokio::time::sleep(READ_PAUSE).await,
                heads => return Ok(heads?),
            }
        }
    }

    async fn scan(&self, scan: Scan) -> std::result::Result<Scanned, ReadError> {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.scan_once(&scan).await {
                Err(error) if goes_on(&error, deadline) => tokio::time::sleep(READ_PAUSE).await,
                scanned => return Ok(scanned?),
            }
        }
    }
}

/// Whether a read that failed is tried again: a database that restarts or moves ends no subscription.
fn goes_on(error: &Error, deadline: Instant) -> bool {
    error.is_passing() && Instant::now() < deadline
}

impl Source {
    async fn heads(&self) -> Result<Checkpoint> {
        // The epoch first: heads that a connection to another database names are then of one that is over.
        let epoch = self.handle.shared.recent.epoch();
        ask_heads(&self.handle.pool, epoch).await
    }

    async fn scan_once(&self, scan: &Scan) -> Result<Scanned> {
        let session = reader(&self.handle.pool).await?;
        session.within(read::scan(&self.handle.shared, &session, scan)).await
    }
}
