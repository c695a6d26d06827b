//! The transactions of commands: whole or not at all, and durable once they are over.

use std::time::Duration;

use pacioli_projection::engine::EngineError;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;

use crate::connect::Session;
use crate::error::{Error, OfHandler};

/// How long one try to change what people query waits for those who query: everybody behind it waits as long.
const LOCK_PATIENCE: &str = "100ms";
/// How long it is tried.
const SWAP_PATIENCE: Duration = Duration::from_secs(10);

/// Runs a command in a transaction of its own.
pub(super) fn in_transaction<'a, T: 'a, E: From<Halt> + 'a>(
    session: &'a Session,
    work: impl Future<Output = Result<T, E>> + 'a,
) -> impl Future<Output = Result<T, E>> + 'a {
    // Moved at once: what a command holds is large, and every future around it would be.
    let work = Box::pin(work);
    let begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL synchronous_commit = on";
    let whole = session.whole(async move {
        session.batch_execute(begin).await.map_err(Halt::from)?;
        match work.await {
            Ok(done) => {
                session.batch_execute("COMMIT").await.map_err(Halt::from)?;
                Ok(done)
            }
            Err(error) => {
                // The first error is the one to tell.
                let _ = session.batch_execute("ROLLBACK").await;
                Err(error)
            }
        }
    });
    async move {
        session.while_primary(async { Ok(whole.await) }).await.unwrap_or_else(|error| Err(Halt::from(error).into()))
    }
}

/// Tries what has to wait for people who query, each time for a moment only: whoever comes after it would wait too.
pub(super) async fn with_patience<T, F>(session: &Session, mut attempt: impl FnMut() -> F) -> Result<T, Halt>
where
    F: Future<Output = Result<T, Halt>>,
{
    let deadline = Instant::now() + SWAP_PATIENCE;
    let mut pause = Duration::from_millis(20);
    loop {
        let with_timeout = async {
            session.batch_execute(&format!("SET LOCAL lock_timeout = '{LOCK_PATIENCE}'")).await?;
            attempt().await
        };
        match in_transaction(session, with_timeout).await {
            Err(Halt::Locked(error)) if Instant::now() >= deadline => {
                return Err(Halt::Other(EngineError::Store(pacioli_core::StoreError::new(format!(
                    "queries have held the tables for {} s, and others would have to wait behind them; try again ({error})",
                    SWAP_PATIENCE.as_secs()
                )))));
            }
            Err(Halt::Locked(_)) => {}
            done => return done,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

/// Why a transaction of a command was not committed.
#[derive(Debug)]
pub(super) enum Halt {
    /// A build fails on an event, so it cannot run in appends.
    Poison(OfHandler),
    /// Somebody holds what it has to wait for.
    Locked(Error),
    /// Something else.
    Other(EngineError),
}

impl From<tokio_postgres::Error> for Halt {
    fn from(error: tokio_postgres::Error) -> Halt {
        Error::from(error).into()
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Halt {
        let is_locked = |code| [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED].contains(code);
        match error.of_handler() {
            Some(of_handler) => Halt::Poison(of_handler),
            None if error.state().is_some_and(is_locked) => Halt::Locked(error),
            None => Halt::Other(EngineError::Store(error.into_store_error())),
        }
    }
}

impl From<Halt> for EngineError {
    fn from(halt: Halt) -> EngineError {
        match halt {
            Halt::Poison(OfHandler { place, reason, .. }) => EngineError::Refused(match place {
                Some(place) => format!("it fails on the event at {place} and cannot run in appends: {reason}"),
                None => format!("it fails and cannot run in appends: {reason}"),
            }),
            Halt::Locked(error) => EngineError::Store(error.into_store_error()),
            Halt::Other(error) => error,
        }
    }
}
