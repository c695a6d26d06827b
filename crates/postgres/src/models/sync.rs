//! Builds that appends write: registered and let go while the lock of every head is held, so that no append sees a half of it.

use pacioli_projection::engine::{BuildNumber, EngineError};
use pacioli_projection::file::Name;
use tokio_postgres::error::SqlState;

use super::builds::Known;
use super::home::Home;
use crate::connect::Session;
use crate::error::{Error, OfHandler, Result};

/// Positions that a build may be behind when the heads are locked: everybody who appends waits while they are applied.
const REST_MAX: i64 = 2_000;
/// Events of one step on the way there.
const STEP_EVENTS: i32 = 5_000;
/// Steps on the way there: who still falls behind after them will not get there.
const STEPS_MAX: usize = 2_000;
/// Steps that somebody else was faster with, or that were not to be.
const MISSED_MAX: usize = 100;
/// How long the locks of the heads are waited for, each.
const HEADS_PATIENCE: &str = "1s";

/// Takes a build near the head, step by step, while appends go on.
pub(super) async fn approach(
    home: &Home,
    session: &Session,
    name: &Name,
    number: BuildNumber,
) -> std::result::Result<(), Halt> {
    let number = number.0 as i32;
    let list = home.fill(sql!("models/sync/list_behind"));
    let advance = home.fill(sql!("models/builds/advance"));
    let mut missed = 0;
    for _ in 0..STEPS_MAX {
        let rows = session.query(&list, &[&name.as_str(), &number, &REST_MAX]).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            let (worker, part, after, head): (i32, i32, i64, i64) = (row.get(0), row.get(1), row.get(2), row.get(3));
            let up_to = head.min(after + (1 << 18));
            let params: [&(dyn postgres_types::ToSql + Sync); 7] =
                [&name.as_str(), &number, &worker, &part, &after, &up_to, &STEP_EVENTS];
            let moved: Option<i64> = session.query_one(&advance, &params).await?.get(0);
            missed += usize::from(moved.is_none());
        }
        if missed > MISSED_MAX {
            let refused =
                format!("`{name}` does not advance, or somebody else advances it: look at its status, and try again");
            return Err(Halt::Other(EngineError::Refused(refused)));
        }
    }
    Err(Halt::Other(EngineError::Refused(format!(
        "`{name}` falls behind faster than it catches up: try again when less is appended"
    ))))
}

/// Lets appends write a build from here on: applies what is left while nobody appends. In the session's transaction.
pub(super) async fn register(
    home: &Home,
    session: &Session,
    name: &Name,
    build: &Known,
) -> std::result::Result<(), Halt> {
    lock_heads(home, session).await?;
    let number = build.number.0 as i32;
    let finish = home.fill(sql!("models/sync/finish")).replace("{build}", &build.schema);
    session.execute(&finish, &[&name.as_str(), &number, &build.workers]).await?;
    session.batch_execute(&home.fill(sql!("models/sync/allow")).replace("{build}", &build.schema)).await?;
    let register = home.fill(sql!("models/sync/insert_sync_build"));
    session.execute(&register, &[&build.schema, &name.as_str()]).await?;
    let note = home.fill(sql!("models/sync/set_in_appends"));
    session.execute(&note, &[&name.as_str(), &number, &true]).await?;
    Ok(())
}

/// Lets appends leave a build alone: it stands at the heads of that moment. In the session's transaction.
pub(super) async fn release(home: &Home, session: &Session, name: &Name, build: &Known) -> Result<()> {
    lock_heads(home, session).await?;
    let number = build.number.0 as i32;
    session.execute(&home.fill(sql!("models/sync/delete_sync_build")), &[&build.schema]).await?;
    session.execute(&home.fill(sql!("models/sync/stand_at_heads")), &[&name.as_str(), &number]).await?;
    session.execute(&home.fill(sql!("models/sync/set_in_appends")), &[&name.as_str(), &number, &false]).await?;
    Ok(())
}

async fn lock_heads(home: &Home, session: &Session) -> Result<()> {
    session.batch_execute(&format!("SET LOCAL lock_timeout = '{HEADS_PATIENCE}'")).await?;
    session.query(&home.fill(sql!("models/sync/lock_heads")), &[]).await?;
    Ok(())
}

/// Why a build is not in appends.
#[derive(Debug)]
pub(super) enum Halt {
    /// It fails on an event.
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
