//! What has to be done beside the log: chunks made ahead, periods of ids turned, full chunks frozen.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pacioli_core::StoreError;
use pacioli_core::place::{Checkpoint, Epoch};
use tokio_postgres::error::SqlState;

use crate::connect::{Connector, Purpose, Session};
use crate::error::{Error, Result};
use crate::location::Location;
use crate::migrate::{CHUNKS_AHEAD, check_existing};
use crate::shared::{Shared, read_heads};

/// How often an open store looks whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Does everything that is due at `location`, once, and says what it did; for a timer beside servers, or without one.
///
/// # Errors
/// The database cannot be reached, there is no store, or the role may not.
pub async fn maintain(location: &Location) -> std::result::Result<Vec<String>, StoreError> {
    let connector = Connector::new(location.clone())?;
    let work = async {
        let session = connector.connect(Purpose::Maintain).await?;
        check_existing(&session, location.schema()).await?;
        let heads = read_heads(&session, Epoch::FIRST).await?;
        let mut said = Vec::new();
        make(&session, &heads, 0, &mut said).await?;
        freeze(&session, &heads, &mut said).await?;
        Ok::<_, Error>(said)
    };
    work.await.map_err(Error::into_store_error)
}

/// Makes chunks and periods as they are needed for so many more events; returns how much it did.
async fn make(session: &Session, heads: &Checkpoint, events: usize, said: &mut Vec<String>) -> Result<usize> {
    let highest = highest(heads) + events as i64;
    let chunks = session.query(sql!("make_chunks"), &[&highest, &CHUNKS_AHEAD]).await?;
    said.extend(chunks.iter().map(|row| format!("made chunk {}", row.get::<_, i32>(0))));
    let periods = session.query(sql!("turn_periods"), &[]).await?;
    said.extend(periods.iter().map(|row| row.get::<_, String>(0)));
    Ok(chunks.len() + periods.len())
}

/// Freezes chunks that will not change any more, so that no vacuum has to visit them again.
async fn freeze(session: &Session, heads: &Checkpoint, said: &mut Vec<String>) -> Result<()> {
    let lowest = heads.iter().map(|place| place.position.0).min().unwrap_or_default() as i64;
    for row in session.query(sql!("list_full_chunks"), &[&lowest]).await? {
        let chunk: i32 = row.get(0);
        session.batch_execute(&format!("VACUUM (FREEZE, ANALYZE) events_c{chunk:06}, event_tags_c{chunk:06}")).await?;
        if session.was_warned() {
            // Who does not own a table is warned, and the table is passed over.
            tracing::info!(chunk, "a full chunk waits to be frozen by its owner: run `pacioli maintain`");
            return Ok(());
        }
        session.execute(sql!("note_frozen"), &[&chunk]).await?;
        said.push(format!("froze chunk {chunk}"));
    }
    Ok(())
}

fn highest(heads: &Checkpoint) -> i64 {
    heads.iter().map(|place| place.position.0).max().unwrap_or_default() as i64
}

/// Makes chunks and periods for a batch that found none; returns how much it did.
pub(crate) async fn make_ahead(shared: &Shared, events: usize) -> Result<usize> {
    let session = shared.connect(Purpose::Maintain).await?;
    make_ahead_on(shared, &session, events).await
}

async fn make_ahead_on(shared: &Shared, session: &Session, events: usize) -> Result<usize> {
    let heads = read_heads(session, shared.recent.epoch()).await?;
    let mut said = Vec::new();
    let made = make(session, &heads, events, &mut said).await;
    for line in said {
        tracing::info!("{line}");
    }
    let ahead: i32 = session.query_one(sql!("count_chunks_ahead"), &[&highest(&heads)]).await?.get(0);
    shared.counters.chunks_ahead.store(ahead.max(0) as u64, Ordering::Relaxed);
    made
}

/// Keeps an open store in room until it is closed.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let mut session: Option<Session> = None;
    let mut complained = false;
    loop {
        let work = async {
            if session.as_ref().is_none_or(|session| session.is_over() || !shared.leads_to(session)) {
                session = Some(shared.connect(Purpose::Maintain).await?);
            }
            let Some(session) = &session else { return Ok(()) };
            session.within(make_ahead_on(&shared, session, 0)).await?;
            let mut said = Vec::new();
            freeze(session, &read_heads(session, shared.recent.epoch()).await?, &mut said).await?;
            said.into_iter().for_each(|line| tracing::info!("{line}"));
            Ok::<_, Error>(())
        };
        match work.await {
            Ok(()) => complained = false,
            Err(error) => {
                // A role that may not make chunks leaves it to `pacioli maintain`; once is enough to say so.
                if !complained && error.state() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
                    tracing::warn!(%error, "this role cannot make chunks ahead; let `pacioli maintain` run as the owner");
                    complained = true;
                } else if !complained && !error.is_passing() {
                    tracing::warn!(%error, "chunks could not be made ahead; it is tried again");
                    complained = true;
                }
                session = None;
            }
        }
        tokio::select! {
            () = shared.chores.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
