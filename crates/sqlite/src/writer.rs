//! The writer: one thread that owns the only connection that writes, from the queue to the acknowledgement.
//!
//! The life of a batch: take what waits, fetch the facts, let `decide` decide, run the `sync` projections, write rows and a
//! slice of index work, all in one transaction, COMMIT (synced), add to the index tails, publish to followers, answer each
//! append by itself.

mod chores;
mod leases;
mod projections;
mod registry;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use pacioli_core::decide::{Batch, Facts};
use pacioli_core::group_commit::{Pending, Taken};
use pacioli_core::lease::{Lease, LeaseOutcome};
use pacioli_core::place::{Checkpoint, Place};
use pacioli_core::schemas::{self, Generation, NamedReader, Registry, RegistryChange};
use pacioli_core::store::{AppendError, StoreError};
use pacioli_core::{Append, AppendOutcome, EventType, RecordedEvent, StreamName, Timestamp};
use pacioli_projection::crash_point;

use crate::error::{Error, Result, rowid};
use crate::facts::{Fetch, Touched};
use crate::index::{IndexKind, Indexes};
use crate::plan;
use crate::read;
use crate::registry as registry_rows;
use crate::row;
use crate::store::Shared;
use crate::streams::{HeadCache, NameHash, StreamHead};
use chores::IndexWork;
use projections::SyncProjections;

pub(crate) use projections::{
    NotServing, ProjectionCommand, SYNC_PROJECTIONS_MAX, SyncBuild, SyncStands, no_room, relations,
};
pub(crate) use registry::RegistryCommand;

/// How long the writer sleeps with nothing to do.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the writer waits for another tool that has locked the file.
pub(crate) const BUSY_PATIENCE: Duration = Duration::from_secs(5);
/// What a row takes in the write-ahead log beyond its payload, roughly.
const ROW_OVERHEAD_BYTES: usize = 128;
/// What a commit takes in the write-ahead log beyond its rows, roughly: the page it fills on, and the first one.
const COMMIT_OVERHEAD_BYTES: usize = 2 * 4096;

/// What the writer does besides appends.
pub(crate) enum Command {
    /// Take or renew a lease.
    AcquireLease { name: String, owner: String, time_to_live: Duration, answer: oneshot::Sender<Result<LeaseOutcome>> },
    /// Give a lease back.
    ReleaseLease { lease: Lease, answer: oneshot::Sender<Result<bool>> },
    /// Change which `sync` projections serve.
    Projections(ProjectionCommand),
    /// Change the registry of schemas, or what is known of its readers.
    Registry(RegistryCommand),
}

/// What an append is told.
type Answer = std::result::Result<AppendOutcome, AppendError>;

/// The thread's state.
pub(crate) struct Writer {
    pub(crate) conn: Connection,
    pub(crate) indexes: Indexes,
    pub(crate) cache: HeadCache,
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) last_stream_id: i64,
    pub(crate) last_recorded_at: Timestamp,
    /// How often the registry of schemas was changed. What was judged under another generation is judged again.
    generation: Generation,
    /// Readers that read since the last commit.
    noted: BTreeMap<Box<str>, NamedReader>,
    work: IndexWork,
    projections: SyncProjections,
    changed_bytes: usize,
    wal_bytes: usize,
    buffer: Vec<u8>,
}

/// Why a batch was not written.
enum Failure {
    /// It is certain that nothing was.
    NotStored(Error),
    /// Nobody knows.
    Unknown(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::NotStored(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        Failure::NotStored(error.into())
    }
}

/// A panic in the writer is a broken invariant: nothing it would do next can be trusted, so the process ends. What was
/// acknowledged is on disk.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the writer broke an invariant; the process ends so that nothing wrong is written");
            std::process::abort();
        }
    }
}

impl Writer {
    pub(crate) fn new(
        conn: Connection,
        indexes: Indexes,
        cache: HeadCache,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        (last_stream_id, last_recorded_at, generation): (i64, Timestamp, Generation),
    ) -> Writer {
        Writer {
            conn,
            indexes,
            cache,
            shared,
            commands,
            last_stream_id,
            last_recorded_at,
            generation,
            noted: BTreeMap::new(),
            work: IndexWork { is_pending: true, ..IndexWork::default() },
            projections: SyncProjections::default(),
            changed_bytes: 0,
            wal_bytes: 0,
            buffer: Vec::new(),
        }
    }

    /// Runs until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let _abort = AbortOnPanic;
        loop {
            while let Ok(command) = self.commands.try_recv() {
                self.execute(command);
            }
            let patience =
                if self.work.is_pending && self.shared.stopped.get().is_none() { Duration::ZERO } else { PATIENCE };
            match self.shared.queue.take(patience) {
                Taken::Batch(pending) => self.answer(pending),
                Taken::Idle => self.rest(),
                Taken::Closed => break,
            }
        }
        if !self.noted.is_empty() && self.shared.stopped.get().is_none() {
            self.write_noted_alone();
        }
        // A clean end leaves one file without a write-ahead log: the readers go first, then this connection.
        self.shared.pool.close();
        if let Err(error) = self.checkpoint(sql!("restart_wal")) {
            tracing::warn!(error = %error, "the write-ahead log could not be emptied; the next start will do it");
        }
    }

    /// Decides, writes and answers a batch.
    fn answer(&mut self, pending: Vec<Pending>) {
        if let Some(reason) = self.shared.stopped.get() {
            for Pending { answer, .. } in pending {
                let _ = answer.send(Err(AppendError::Store(StoreError::new(reason.clone()))));
            }
            return;
        }
        let heads = self.shared.recent.heads();
        let mut answers = Vec::with_capacity(pending.len());
        let mut appends = Vec::with_capacity(pending.len());
        for Pending { mut append, answer } in pending {
            match self.admit(&mut append, &heads) {
                Ok(()) => {
                    appends.push(append);
                    answers.push(answer);
                }
                Err(error) => {
                    let _ = answer.send(Err(error));
                }
            }
        }
        let (facts, touched) = match self.fetch(&appends, &heads) {
            Ok(fetched) => fetched,
            Err(error) if appends.len() == 1 => return self.answer_failure(Failure::NotStored(error), answers),
            Err(_) => {
                // Something one of them asks for is damaged. That is its trouble and not the others'.
                for (append, answer) in appends.into_iter().zip(answers) {
                    self.answer(vec![Pending { append, answer }]);
                }
                return;
            }
        };
        match self.write(appends, heads, facts, touched, None) {
            Ok(outcomes) => {
                // A caller that went away meanwhile does not hear its answer; its retry will.
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    let _ = answer.send(outcome);
                }
            }
            Err(failure) => self.answer_failure(failure, answers),
        }
    }

    /// Refuses an append that no log could take, and holds it against the schemas of now.
    fn admit(&self, append: &mut Append, heads: &Checkpoint) -> std::result::Result<(), AppendError> {
        append.check_checkpoints(&self.shared.epochs, heads)?;
        schemas::judge(self.shared.gate.as_deref(), self.generation, append)
    }

    fn answer_failure(&mut self, failure: Failure, answers: Vec<oneshot::Sender<Answer>>) {
        let error = self.append_error(failure, answers.len());
        for answer in answers {
            let _ = answer.send(Err(error.clone()));
        }
    }

    /// A failure as it is said to those who appended.
    fn append_error(&self, failure: Failure, appends: usize) -> AppendError {
        match failure {
            Failure::NotStored(Error::Invalid(invalid)) => invalid.into(),
            Failure::NotStored(error) => {
                tracing::warn!(error = %error, appends, "a batch was not stored");
                AppendError::Store(error.into_store_error())
            }
            Failure::Unknown(error) => {
                self.stop(&error);
                AppendError::Unknown { reason: error.to_string() }
            }
        }
    }

    /// Fetches the facts.
    fn fetch(&mut self, appends: &[Append], heads: &Checkpoint) -> Result<(Facts, Touched)> {
        let view = self.indexes.view();
        let shared = Arc::clone(&self.shared);
        let mut fetch = Fetch {
            conn: &self.conn,
            view: &view,
            cache: &mut self.cache,
            names: shared.names,
            types: &shared.types,
            heads,
            damaged: &shared.damaged,
            buffer: &mut self.buffer,
        };
        fetch.facts(appends.iter())
    }

    /// Decides and writes a batch, and with it the change of the registry that its append records, where it does.
    fn write(
        &mut self,
        appends: Vec<Append>,
        heads: Checkpoint,
        facts: Facts,
        mut touched: Touched,
        change: Option<&RegistryChange>,
    ) -> std::result::Result<Vec<Answer>, Failure> {
        let shared = Arc::clone(&self.shared);

        // 1. Decide, and begin the transaction.
        let recorded_at = shared.clock.now().max(self.last_recorded_at);
        let (batch, answers) = if self.projections.is_empty() {
            let mut batch = Batch::new(facts, heads, recorded_at);
            let answers: Vec<Answer> = appends.into_iter().map(|append| Ok(batch.decide(append))).collect();
            if !batch.events().is_empty() {
                self.begin_with_index_work()?;
            }
            (batch, answers)
        } else {
            let decided = self.decide_with_projections(&appends, &heads, facts, touched, recorded_at)?;
            touched = decided.touched;
            (decided.batch, decided.answers)
        };
        if batch.events().is_empty() {
            return Ok(answers);
        }

        // 2. Write the rows.
        let written = match self.write_rows(&batch, &mut touched, change) {
            Ok(written) => written,
            Err(error) => return Err(self.roll_back(error)),
        };
        if change.is_some() {
            crash_point("registry:before-commit");
        }
        self.commit(batch.heads())?;

        // 3. It is durable: tell the gate, the indexes, the cache, the followers.
        if let Some(registry) = written.registry {
            crash_point("registry:after-commit");
            self.generation = registry.generation;
            if let Some(gate) = &shared.gate {
                gate.take(registry, false);
            }
        }
        self.noted.clear();
        self.indexes.committed();
        for event_type in written.new_types {
            self.shared.types.add(self.shared.types.count() + 1, event_type);
        }
        self.last_stream_id = written.last_stream_id;
        self.last_recorded_at = recorded_at;
        for (name, head) in touched.into_values() {
            if let Some(head) = head {
                self.cache.put(name, head);
            }
        }
        let entries = written.entries.len();
        self.indexes.apply(written.entries);
        self.shared.recent.publish(batch.events());
        self.changed_bytes += written.bytes;
        self.wal_bytes += written.bytes + COMMIT_OVERHEAD_BYTES;
        self.plan_chores(entries, written.bytes, batch.heads());
        Ok(answers)
    }

    fn write_rows(&mut self, batch: &Batch, touched: &mut Touched, change: Option<&RegistryChange>) -> Result<Written> {
        let mut written = Written {
            registry: change.map(|change| registry_rows::write(&self.conn, change)).transpose()?,
            entries: Vec::with_capacity(batch.events().len() * 5),
            new_types: Vec::new(),
            last_stream_id: self.last_stream_id,
            bytes: 0,
        };
        let shared = Arc::clone(&self.shared);
        let mut type_ids: HashMap<EventType, i64> = HashMap::new();
        let mut insert = self.conn.prepare_cached(sql!("insert_event"))?;
        for event in batch.events() {
            let type_id = match type_ids.get(&event.event_type) {
                Some(id) => *id,
                None => {
                    let id = match shared.types.id(&event.event_type) {
                        Some(id) => id,
                        None => {
                            written.new_types.push(event.event_type.clone());
                            let id = shared.types.count() + written.new_types.len() as i64;
                            self.conn
                                .prepare_cached(sql!("insert_type"))?
                                .execute(params![id, event.event_type.as_str()])?;
                            id
                        }
                    };
                    type_ids.insert(event.event_type.clone(), id);
                    id
                }
            };
            let (name, head) =
                touched.get_mut(&event.stream).expect("facts were fetched for every stream of the batch");
            let stream_id = match head {
                Some(head) => {
                    assert_eq!(event.version, head.version.plus(1), "versions are gapless");
                    head.version = event.version;
                    head.id
                }
                None => {
                    assert_eq!(event.version.0, 0, "a stream begins with version 0");
                    written.last_stream_id += 1;
                    let id = written.last_stream_id;
                    self.conn.prepare_cached(sql!("insert_stream"))?.execute(params![id, event.stream.as_str()])?;
                    *head = Some(StreamHead { id, version: event.version });
                    stream_entries(&shared.names, *name, &event.stream, id, &mut written.entries);
                    id
                }
            };
            row::insert(&mut insert, event, stream_id, type_id, &mut self.buffer)?;
            event_entries(&shared.names, event, stream_id, &mut written.entries);
            written.bytes += event.size() + ROW_OVERHEAD_BYTES;
        }
        for (key, known) in batch.keys() {
            let at = |position| rowid(Place { partition: known.answer.partition, position });
            let (first, last) = (at(known.answer.first_position), at(known.answer.last_position));
            let mut statement = self.conn.prepare_cached(sql!("insert_append_key"))?;
            statement.execute(params![first, last, key.as_bytes(), known.content])?;
            written.entries.push((IndexKind::AppendKey, key.as_u128(), first as u64));
        }
        for tracking in batch.tracking() {
            let mut statement = self.conn.prepare_cached(sql!("write_tracking"))?;
            statement.execute(params![tracking.name, tracking.checkpoint.to_string()])?;
        }
        if !self.noted.is_empty() {
            registry_rows::write_readers(&self.conn, self.noted.values())?;
        }
        Ok(written)
    }

    /// Commits. COMMIT can report an error after the log has committed, so after any error the head is read again and
    /// decides, never the error.
    fn commit(&mut self, heads: &Checkpoint) -> std::result::Result<(), Failure> {
        let committed = self.conn.prepare_cached(sql!("commit")).and_then(|mut statement| statement.execute([]));
        let Err(error) = committed else { return Ok(()) };
        let error = Error::from(error);
        // With these the write did not begin, did not fit, or broke a rule of a projection's tables. After any other, a failed
        // sync above all, what is on disk is not known, and asking again would only show what the operating system remembers.
        let is_definite = error.is_full() || error.is_busy() || error.is_constraint();
        let failure = match self.end_transaction(error) {
            Failure::NotStored(error) if is_definite => {
                let stored = read::heads(&self.conn, heads.partitions()).map_err(Failure::Unknown)?;
                let stored = Checkpoint::new(stored.iter().map(|(position, _)| *position), heads.epoch());
                self.look_at_projections(&stored);
                if stored == *heads {
                    return Ok(());
                }
                Failure::NotStored(error)
            }
            Failure::NotStored(error) | Failure::Unknown(error) => Failure::Unknown(error),
        };
        self.forget_index_work();
        Err(failure)
    }

    /// Undoes the transaction that `error` broke.
    fn roll_back(&mut self, error: Error) -> Failure {
        self.forget_index_work();
        self.end_transaction(error)
    }

    /// Rolls back what is still open. If even that fails, the state of the connection is unknown.
    fn end_transaction(&mut self, error: Error) -> Failure {
        if self.conn.is_autocommit() {
            return Failure::NotStored(error);
        }
        match self.conn.execute_batch(sql!("rollback")) {
            Ok(()) => Failure::NotStored(error),
            Err(second) => Failure::Unknown(Error::Store(format!("{error}; then rolling back failed: {second}"))),
        }
    }

    /// Takes no more appends: after a failed sync nobody knows what is on disk. Reads go on.
    fn stop(&self, error: &Error) {
        tracing::error!(%error, "a write failed below SQLite; the store takes no more appends until it is opened again");
        let reason =
            format!("the store stopped taking appends after a failed write ({error}): check the disk, then restart");
        // The first reason is the one to act on.
        let _ = self.shared.stopped.set(reason);
    }

    /// A sync that failed once leaves the file in doubt, whatever was being written.
    fn stop_if_in_doubt(&self, error: &Error) {
        if error.is_io_failure() {
            self.stop(error);
        }
    }
}

/// What a transaction wrote, to be told to the indexes once it is durable.
struct Written {
    /// What the registry of schemas is with it, where it changed that.
    registry: Option<Registry>,
    entries: Vec<(IndexKind, u128, u64)>,
    new_types: Vec<EventType>,
    last_stream_id: i64,
    bytes: usize,
}

/// How far the log is covered by what the indexes were told: the heads, and the newest stream.
pub(crate) fn watermark(heads: &Checkpoint, last_stream_id: i64) -> String {
    format!("{heads};{last_stream_id}")
}

/// The index entries of an event. Recovery makes the same from its row.
pub(crate) fn event_entries(
    names: &NameHash,
    event: &RecordedEvent,
    stream_id: i64,
    entries: &mut Vec<(IndexKind, u128, u64)>,
) {
    let at = rowid(event.place());
    entries.push((IndexKind::Id, event.id.0.as_u128(), at as u64));
    entries.push((IndexKind::Stream, u128::from(stream_id as u64) << 64 | u128::from(event.version.0), at as u64));
    let event_type = names.posting(IndexKind::Type, event.event_type.as_str());
    entries.push((IndexKind::Type, plan::posting(event_type, at), 0));
    entries.push((IndexKind::Category, plan::posting(plan::category_of(names, &event.stream), at), 0));
    for tag in event.tags.as_slice() {
        entries.push((IndexKind::Tag, plan::posting(names.posting(IndexKind::Tag, tag.as_str()), at), 0));
    }
}

/// The index entries of a new stream.
pub(crate) fn stream_entries(
    names: &NameHash,
    name: u128,
    stream: &StreamName,
    id: i64,
    entries: &mut Vec<(IndexKind, u128, u64)>,
) {
    entries.push((IndexKind::Name, name, id as u64));
    entries.push((IndexKind::CategoryStreams, plan::posting(plan::category_of(names, stream), id), 0));
}
