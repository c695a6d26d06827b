//! What the writers, the readers and the bus of one store share: where the log stands, and in which database.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use deadpool::managed::{self, Metrics, RecycleResult};
use pacioli_core::clock::Clock;
use pacioli_core::group_commit::GroupCommit;
use pacioli_core::place::{Checkpoint, Epoch, Position};
use pacioli_core::recent::Recent;
use pacioli_core::schemas::{Gate, Generation, Registry};
use pacioli_core::store::{Bus, Epochs};
use pacioli_core::{Limits, Partition};
use pacioli_schema::Catalogue;
use tokio::sync::Notify;
use tokio_postgres::error::SqlState;

use crate::connect::{Connector, Identity, Purpose, Session};
use crate::error::{Error, Result};
use crate::store::PostgresOptions;

/// How long a reader waits for a connection.
const POOL_PATIENCE: Duration = Duration::from_secs(10);

/// What all parts of an open store share.
pub(crate) struct Shared {
    pub(crate) connector: Connector,
    pub(crate) recent: Recent,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) partitions: u16,
    pub(crate) chunk_events: u64,
    /// One queue a writer; partition p belongs to writer p modulo their number.
    pub(crate) queues: Box<[GroupCommit]>,
    /// Subscribers get this process's own batches by the bus too, and not from memory.
    pub(crate) own_by_bus: bool,
    /// How long an append may take until its outcome is called unknown.
    pub(crate) answer_within: Duration,
    /// Rings when chunks run short.
    pub(crate) chores: Notify,
    pub(crate) counters: Counters,
    /// What events are held against.
    pub(crate) gate: Option<Arc<dyn Gate>>,
    /// What was compiled for the last change of the registry that this process made.
    pub(crate) catalogue: Mutex<Option<Arc<Catalogue>>>,
    /// In which epoch the registry was read that the gate was last given; `None` before the first.
    taken_in: Mutex<Option<Epoch>>,
    /// Why nothing is written any more, once that is so.
    pub(crate) stopped: OnceLock<String>,
    epochs: RwLock<Epochs>,
    identity: Mutex<Identity>,
    /// Held while an epoch is looked up or begun, so that it is done once.
    meeting: tokio::sync::Mutex<()>,
    bus: RwLock<Bus>,
}

/// What is counted, for metrics.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) reconnects: AtomicU64,
    pub(crate) batches_retried: AtomicU64,
    pub(crate) unknown_outcomes: AtomicU64,
    pub(crate) bus_reconnects: AtomicU64,
    pub(crate) bus_commits: AtomicU64,
    pub(crate) gap_reads: AtomicU64,
    pub(crate) chunks_ahead: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// What an open store shares whose log stands at `heads` of the current epoch.
    pub(crate) fn new(
        connector: Connector,
        identity: Identity,
        epochs: Epochs,
        heads: &Checkpoint,
        chunk_events: u64,
        options: &PostgresOptions,
    ) -> Shared {
        let partitions = heads.partitions();
        let writers = usize::from(partitions).min(options.writers.max(1));
        Shared {
            connector,
            recent: Recent::new(heads, options.recent),
            clock: Arc::clone(&options.clock),
            limits: options.limits,
            partitions,
            chunk_events,
            queues: (0..writers).map(|_| GroupCommit::new(options.group_commit)).collect(),
            own_by_bus: options.own_by_bus,
            answer_within: options.answer_within,
            chores: Notify::new(),
            counters: Counters::default(),
            gate: options.gate.clone(),
            catalogue: Mutex::new(None),
            taken_in: Mutex::new(None),
            stopped: OnceLock::new(),
            epochs: RwLock::new(epochs),
            identity: Mutex::new(identity),
            meeting: tokio::sync::Mutex::new(()),
            bus: RwLock::new(Bus::Polling { why: "the bus has not begun yet".to_owned() }),
        }
    }

    pub(crate) fn epochs(&self) -> Epochs {
        self.epochs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives the gate the registry as it was read in an epoch. What was read in an earlier one than the last is of a database
    /// that is none any more.
    pub(crate) fn hand_over(&self, epoch: Epoch, registry: &Registry) {
        let Some(gate) = &self.gate else { return };
        let mut taken_in = self.taken_in.lock().unwrap_or_else(PoisonError::into_inner);
        if taken_in.is_none_or(|before| before <= epoch) {
            gate.take(registry.clone(), *taken_in != Some(epoch));
            *taken_in = Some(epoch);
        }
    }

    /// Whether the gate was given the registry of a generation, or a later one, in an epoch that is the last.
    pub(crate) fn knows(&self, epoch: Epoch, generation: Generation) -> bool {
        let taken_in = *self.taken_in.lock().unwrap_or_else(PoisonError::into_inner);
        self.gate.as_ref().is_none_or(|gate| taken_in == Some(epoch) && gate.generation() >= generation)
    }

    /// The queue of the writer that a partition belongs to.
    pub(crate) fn queue(&self, partition: Partition) -> &GroupCommit {
        &self.queues[partition.index() % self.queues.len()]
    }

    /// The chunk that holds a position.
    pub(crate) fn chunk_of(&self, position: Position) -> i32 {
        (position.0 / self.chunk_events) as i32
    }

    /// The last position of a chunk.
    pub(crate) fn chunk_end(&self, chunk: i32) -> Position {
        Position((chunk as u64 + 1) * self.chunk_events - 1)
    }

    pub(crate) fn bus(&self) -> Bus {
        self.bus.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says which way events come from now on; true where that is another one than before.
    pub(crate) fn set_bus(&self, bus: Bus) -> bool {
        let mut current = self.bus.write().unwrap_or_else(PoisonError::into_inner);
        let changed = *current != bus;
        *current = bus;
        changed
    }

    /// Whether a connection leads to the database that is the primary now.
    pub(crate) fn leads_to(&self, session: &Session) -> bool {
        session.surroundings.identity == self.identity()
    }

    /// The database that the store is in.
    pub(crate) fn identity(&self) -> Identity {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects, and learns what epoch the database is in before anybody uses the connection.
    pub(crate) async fn connect(&self, purpose: Purpose) -> Result<Session> {
        let session = self.connector.connect(purpose).await?;
        if session.surroundings.identity != self.identity() {
            self.meet(session.surroundings.identity).await?;
        }
        Ok(session)
    }

    /// Another database than before: a new epoch may have to begin.
    async fn meet(&self, met: Identity) -> Result<()> {
        let _meeting = self.meeting.lock().await;
        if met == self.identity() {
            return Ok(());
        }
        let session = self.connector.connect(Purpose::Maintain).await?;
        if session.surroundings.identity != met {
            return Err(Error::Unreachable("the primary changed again while it was looked at".to_owned()));
        }
        let take = async {
            let asked = session.execute(sql!("meet_database"), &[&(self.recent.epoch().0 as i32)]).await;
            let may = match asked.map_err(Error::from) {
                // Who may only read goes on in the epochs that are there, and asks again with the next connection.
                Err(error) if error.state() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => false,
                met => met.map(|_| true)?,
            };
            self.take_epochs(&session).await?;
            Ok(may)
        };
        // Everybody who connects waits for this.
        if !session.within(take).await? {
            return Ok(());
        }
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = met;
        Ok(())
    }

    /// A lock on a head showed another epoch than the known one: another server began it.
    pub(crate) async fn learn_epochs(&self, session: &Session) -> Result<()> {
        let _meeting = self.meeting.lock().await;
        self.take_epochs(session).await
    }

    async fn take_epochs(&self, session: &Session) -> Result<()> {
        let known = read_epochs(session).await?;
        let current = known.current();
        if current <= self.recent.epoch() {
            return Ok(());
        }
        let heads = read_heads(session, current).await?;
        if self.gate.is_some() {
            // What was registered may be lost with the log's tail.
            Box::pin(self.take_registry(session)).await?;
        }
        let before = self.recent.heads();
        *self.epochs.write().unwrap_or_else(PoisonError::into_inner) = known;
        self.recent.rewind(&heads);
        tracing::warn!(%before, now = %heads, epoch = current.0,
            "another database or timeline: a new epoch begins, readers ahead of it are told");
        Ok(())
    }
}

/// The store's epochs after the first, with the heads at which each began.
pub(crate) async fn read_epochs(session: &Session) -> Result<Epochs> {
    let rows = session.query(sql!("list_epochs"), &[]).await?;
    let mut began = Vec::new();
    let mut before = Epoch::FIRST;
    for row in rows {
        let epoch = Epoch(row.get::<_, i32>(0) as u32);
        let heads: Vec<i64> = row.get(1);
        if epoch > Epoch::FIRST {
            began.push((epoch, Checkpoint::new(heads.iter().map(|&head| Position(head as u64)), before)));
        }
        before = epoch;
    }
    Ok(Epochs::new(began))
}

/// The head of every partition.
pub(crate) async fn read_heads(session: &Session, epoch: Epoch) -> Result<Checkpoint> {
    let statement = session.prepare_cached(sql!("read_heads")).await?;
    let rows = session.query(&statement, &[]).await?;
    if rows.is_empty() {
        return Err(Error::Store("the store has no partitions: its table `heads` is empty".to_owned()));
    }
    Ok(Checkpoint::new(rows.iter().map(|row| Position(row.get::<_, i64>(0) as u64)), epoch))
}

/// The head of every partition, asked soon or not at all. Where no answer comes, the connections that lie idle are given up
/// too: they lead to the same host, and who looks again would wait on each of them.
pub(crate) async fn ask_heads(pool: &ReadPool, epoch: Epoch) -> Result<Checkpoint> {
    let session = reader(pool).await?;
    // Who gives up waiting leaves a connection behind that nobody else should wait on.
    let heads = session.whole(session.soon(read_heads(&session, epoch))).await;
    if session.is_over() {
        pool.retain(|_, _| false);
    }
    heads
}

/// Makes and keeps the connections of readers.
pub(crate) struct Readers {
    shared: Arc<Shared>,
}

/// The readers' connections.
pub(crate) type ReadPool = managed::Pool<Readers>;

/// A pool of at most `size` connections.
pub(crate) fn read_pool(shared: Arc<Shared>, size: usize) -> ReadPool {
    let pool = managed::Pool::builder(Readers { shared })
        .max_size(size.max(1))
        .runtime(deadpool::Runtime::Tokio1)
        .wait_timeout(Some(POOL_PATIENCE))
        .build();
    pool.expect("a pool with a runtime for its timeouts")
}

impl managed::Manager for Readers {
    type Type = Session;
    type Error = Error;

    async fn create(&self) -> Result<Session> {
        // To connect takes a large future, which every read would carry along.
        Box::pin(self.shared.connect(Purpose::Read)).await
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<Error> {
        // A connection of before a failover leads to the old primary.
        if session.is_over() || !self.shared.leads_to(session) {
            return Err(managed::RecycleError::message("the connection is of no use any more"));
        }
        Ok(())
    }
}

/// A connection to read with.
pub(crate) async fn reader(pool: &ReadPool) -> Result<managed::Object<Readers>> {
    match pool.get().await {
        Ok(session) => Ok(session),
        Err(managed::PoolError::Backend(error)) => Err(error),
        Err(managed::PoolError::Timeout(_)) => Err(Error::Unreachable(format!(
            "no connection for a read came free within {} s; too many reads wait, try again later",
            POOL_PATIENCE.as_secs()
        ))),
        Err(error) => Err(Error::Unreachable(format!("no connection for a read: {error}"))),
    }
}
