//! The registry of schemas: its rows beside the log, read and changed.
//!
//! **Invariants.** Its generation moves only while the lock of every head is held, in the transaction that writes the rows and
//! appends their record: who holds the lock of one head reads a generation that stays until that lock is given back.

mod door;
mod pattern;
mod rows;
mod shapes;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pacioli_core::place::Epoch;
use pacioli_core::schemas::{
    Generation, NamedReader, REGISTRY_STREAM, Registry, RegistryChange, RegistryOutcome, RegistryStore, TrackedConsumer,
};
use pacioli_core::store::{AppendError, ReadError, StoreError};
use pacioli_core::{Append, Checkpoint, ExpectedVersion, InvalidAppend, StreamName};
use pacioli_schema::Catalogue;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use crate::connect::{Purpose, Session};
use crate::error::{Error, Result};
use crate::row::Moment;
use crate::shared::{Shared, reader};
use crate::store::{PostgresStore, stands_at};
use shapes::Shapes;

/// How long the lock of a head is waited for: who appends to another partition waits meanwhile.
const HEADS_PATIENCE: &str = "1s";
/// How long a change waits before it is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// The registry, and the epoch of the log that it was read in.
pub(crate) struct Read {
    pub(crate) epoch: Epoch,
    pub(crate) registry: Registry,
}

/// Reads the registry as it is at one moment.
pub(crate) async fn read(session: &Session) -> Result<Read> {
    session.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let read = rows::read(session).await;
    // What was read is of no use where the transaction is not over.
    session.batch_execute(if read.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    read
}

/// Makes the functions that are made of the registry anew, in the session's transaction.
pub(crate) async fn remake(session: &Session, schema: &str) -> Result<()> {
    let registry = rows::read(session).await?.registry;
    if registry.schemas.is_empty() {
        return Ok(());
    }
    let catalogue = Catalogue::new(registry, None);
    rows::write_rules(session, &catalogue).await?;
    Shapes::of(schema, &catalogue).make(session, schema).await
}

impl Shared {
    /// The catalogue of a registry, for which nothing is compiled again that the last one had compiled.
    fn catalogue(&self, registry: Registry) -> Arc<Catalogue> {
        let mut last = self.catalogue.lock().unwrap_or_else(PoisonError::into_inner);
        let catalogue = Arc::new(Catalogue::new(registry, last.as_deref()));
        *last = Some(Arc::clone(&catalogue));
        catalogue
    }

    /// Reads the registry, and hands it to the gate.
    pub(crate) async fn take_registry(&self, session: &Session) -> Result<Registry> {
        let Read { epoch, registry } = read(session).await?;
        self.hand_over(epoch, &registry);
        Ok(registry)
    }
}

#[async_trait]
impl RegistryStore for PostgresStore {
    async fn registry(&self) -> std::result::Result<Registry, ReadError> {
        let session = reader(self.pool()).await?;
        let take = Box::pin(self.shared().take_registry(&session));
        Ok(session.whole(session.within(take)).await?)
    }

    async fn catch_up(&self) -> std::result::Result<(), ReadError> {
        let session = reader(self.pool()).await?;
        let look = Box::pin(async {
            let statement = session.prepare_cached(sql!("registry/read_generation")).await?;
            let row = session.query_one(&statement, &[]).await?;
            if !self.shared().knows(rows::epoch(&row), rows::generation_of(&row)) {
                self.shared().take_registry(&session).await?;
            }
            Ok(())
        });
        Ok(session.whole(session.within(look)).await?)
    }

    async fn change_registry(&self, change: RegistryChange) -> std::result::Result<RegistryOutcome, AppendError> {
        let shared = self.shared();
        let record = Append::to(StreamName::from_storage(REGISTRY_STREAM), ExpectedVersion::Any, change.record.clone());
        record.check_record(&shared.limits, shared.clock.now(), shared.partitions)?;
        let deadline = Instant::now() + shared.answer_within;
        loop {
            match Box::pin(attempt(shared, &change)).await {
                Ok(outcome) => return Ok(outcome),
                Err(Failure::Unknown(error)) => return Err(AppendError::Unknown { reason: error.to_string() }),
                Err(Failure::Nothing(error)) if is_contended(&error) && Instant::now() < deadline => {
                    tracing::debug!(%error, "a change of the registry was not made; it is tried again");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(Failure::Nothing(error)) => return Err(told(error)),
            }
        }
    }

    async fn note_reader(&self, noted: NamedReader) -> std::result::Result<(), ReadError> {
        let session = reader(self.pool()).await?;
        let note = async {
            // It may be lost in a crash, and nobody waits for a disk.
            session.batch_execute("BEGIN READ WRITE; SET LOCAL synchronous_commit = off").await?;
            end(&session, rows::note_reader(&session, &noted).await).await
        };
        Ok(session.whole(session.within(note)).await?)
    }

    async fn named_readers(&self) -> std::result::Result<Vec<NamedReader>, ReadError> {
        let session = reader(self.pool()).await?;
        Ok(session.within(rows::list_readers(&session)).await?)
    }

    async fn tracked_consumers(&self) -> std::result::Result<Vec<TrackedConsumer>, ReadError> {
        let session = reader(self.pool()).await?;
        let list = async { Ok(session.query(sql!("list_checkpoints"), &[]).await?) };
        let consumer = |row: &Row| {
            let (name, text, Moment(moved_at)): (&str, &str, Moment) = (row.get(0), row.get(1), row.get(2));
            let checkpoint = stands_at(name, text)?;
            Ok(TrackedConsumer { name: name.into(), checkpoint, moved_at: Some(moved_at) })
        };
        session.within(list).await?.iter().map(consumer).collect()
    }

    async fn forget_reader(&self, name: &str) -> std::result::Result<bool, ReadError> {
        let session = reader(self.pool()).await?;
        let forget = async {
            session.batch_execute("BEGIN READ WRITE").await?;
            let forgotten = session.execute(sql!("registry/forget_reader"), &[&name]).await.map_err(Error::from);
            end(&session, forgotten.map(|rows| rows > 0)).await
        };
        Ok(session.whole(session.within(forget)).await?)
    }
}

/// Ends a transaction as what was done in it came out.
async fn end<T>(session: &Session, done: Result<T>) -> Result<T> {
    match done {
        Ok(done) => {
            session.batch_execute("COMMIT").await?;
            Ok(done)
        }
        Err(error) => {
            // The first error is the one to tell.
            let _ = session.batch_execute("ROLLBACK").await;
            Err(error)
        }
    }
}

/// Why a change has no outcome.
enum Failure {
    /// It is certain that nothing was done.
    Nothing(Error),
    /// The connection broke with COMMIT on its way.
    Unknown(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Nothing(error)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        Failure::Nothing(error.into())
    }
}

/// Whether others were in the way who will be gone in a moment.
fn is_contended(error: &Error) -> bool {
    error.state().is_some_and(|code| {
        *code == SqlState::LOCK_NOT_AVAILABLE
            || *code == SqlState::T_R_DEADLOCK_DETECTED
            || *code == SqlState::T_R_SERIALIZATION_FAILURE && !is_known(error)
    })
}

/// Whether the record has events that are in the log.
fn is_known(error: &Error) -> bool {
    let Error::Postgres(error) = error else { return false };
    error.as_db_error().and_then(|said| said.constraint()).is_some_and(|name| matches!(name, "ids-known" | "id-reused"))
}

fn told(error: Error) -> AppendError {
    if is_known(&error) {
        return InvalidAppend::new("record", format!("has events that are in the log already ({error})")).into();
    }
    if is_contended(&error) {
        return AppendError::Store(StoreError::new(format!(
            "others hold the log, and the registry could not be changed meanwhile: nothing was done, try again ({error})"
        )));
    }
    match error {
        Error::Invalid(invalid) => invalid.into(),
        Error::Denied(reason) => AppendError::Denied { reason },
        error if error.state() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => AppendError::Denied {
            reason: format!(
                "the registry of schemas is changed with the rights of the store's owner alone ({error}); \
                             look at `pacioli doctor`"
            ),
        },
        error => AppendError::Store(error.into_store_error()),
    }
}

/// One transaction on a connection of its own: where it is given up, the transaction goes with it.
async fn attempt(shared: &Shared, change: &RegistryChange) -> std::result::Result<RegistryOutcome, Failure> {
    let session = shared.connect(Purpose::Maintain).await?;
    let prepared = async {
        session
            .batch_execute(&format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '{HEADS_PATIENCE}'; \
                 SET LOCAL idle_in_transaction_session_timeout = '5s'"
            ))
            .await?;
        prepare(shared, &session, change).await
    };
    let prepared = Box::pin(session.within(prepared)).await;
    let (generation, checkpoint, read) = match prepared {
        Ok(Prepared::Ready { generation, checkpoint, read }) => (generation, checkpoint, read),
        Ok(Prepared::Moved(current)) => return Ok(RegistryOutcome::Moved { current }),
        Err(error) => return Err(Failure::Nothing(error)),
    };
    session.was_warned();
    let commit = async { Ok(session.batch_execute("COMMIT").await?) };
    match session.within(commit).await {
        Ok(()) if session.was_warned() => {
            let warned = "PostgreSQL warned at COMMIT that a standby may not have it";
            return Err(Failure::Unknown(Error::Unreachable(warned.to_owned())));
        }
        Ok(()) => {}
        Err(error) if error.ends_connection() => return Err(Failure::Unknown(error)),
        Err(error) => return Err(Failure::Nothing(error)),
    }
    shared.hand_over(read.epoch, &read.registry);
    shared.recent.observe(&checkpoint);
    Ok(RegistryOutcome::Changed { generation, checkpoint })
}

/// What came of a change before its COMMIT.
enum Prepared {
    Ready { generation: Generation, checkpoint: Checkpoint, read: Read },
    Moved(Generation),
}

async fn prepare(shared: &Shared, session: &Session, change: &RegistryChange) -> Result<Prepared> {
    let schema = shared.connector.location().schema();
    act_as_owner(session, schema).await?;
    // One change at a time, and none while the store is brought up to date. Whatever can be done before everybody who appends
    // has to wait is done before that.
    session.execute(sql!("lock_migrations"), &[&schema]).await?;
    let row = session.query_one(sql!("registry/read_generation"), &[]).await?;
    let current = rows::generation_of(&row);
    if current != change.expected {
        return Ok(Prepared::Moved(current));
    }
    let before = rows::read(session).await?.registry;
    let mut after = before;
    after.apply(change);
    let catalogue = shared.catalogue(after);
    rows::write(session, change, &catalogue).await?;
    Shapes::of(schema, &catalogue).make(session, schema).await?;
    session.query(sql!("registry/lock_heads"), &[]).await?;
    let turned = session.query_opt(sql!("registry/turn_generation"), &[&(current.0 as i64)]).await?;
    let Some(turned) = turned else {
        return Err(Error::Store("the registry was changed by somebody who held no lock: nothing was done".to_owned()));
    };
    let generation = Generation(turned.get::<_, i64>(0) as u64);
    let checkpoint = rows::append_record(session, &change.record).await?;
    // The rows are known, and everybody who appends waits: only the epoch is asked for, which the record may have begun.
    let row = session.query_one(sql!("registry/read_generation"), &[]).await?;
    let registry = catalogue.registry().clone();
    assert_eq!(registry.generation, generation, "the rows are those of the generation that was counted");
    Ok(Prepared::Ready { generation, checkpoint, read: Read { epoch: rows::epoch(&row), registry } })
}

/// Goes on as the role that owns the store: what is made here is its own, and it alone may change these tables.
async fn act_as_owner(session: &Session, schema: &str) -> Result<()> {
    let row = session.query_one(sql!("registry/look_at_owner"), &[&schema]).await?;
    let (quoted, owner, may, login): (String, String, bool, String) = (row.get(0), row.get(1), row.get(2), row.get(3));
    if !may {
        return Err(Error::Denied(format!(
            "the registry of schemas is changed with the rights of the store's owner, and {login} is no member of {owner}: \
             register through a server, or with a login, that is (GRANT {quoted} TO it), as `pacioli init` needs it too"
        )));
    }
    Ok(session.batch_execute(&format!("SET LOCAL ROLE {quoted}")).await?)
}

/// A time as it is bound.
fn moment(at: pacioli_core::Timestamp) -> Moment {
    Moment(at)
}
