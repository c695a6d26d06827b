//! What a build knows of a log whose tail was lost: in a database of its own it may be ahead of what is left.

use pacioli_core::place::{Checkpoint, Epoch, Partition, Place, Position};
use pacioli_core::store::{Epochs, ReadError};
use pacioli_projection::engine::{BuildNumber, EngineError, Failed, State};
use pacioli_projection::file::Name;

use super::builds::{hold, write_state};
use super::check::engine_error;
use super::home::Home;
use super::transaction::in_transaction;
use crate::connect::Session;
use crate::error::Error;
use crate::shared::{read_epochs, read_heads, reader};

/// Brings builds of an earlier epoch into today's, as far as what they have seen is still there. Until then they do not
/// advance; one that is ahead fails, and stays so until it is rebuilt.
pub(super) async fn settle(home: &Home, session: &Session) -> Result<(), EngineError> {
    let epoch = home.store().shared().recent.epoch().0 as i32;
    let list = async {
        let list = session.prepare_cached(&home.fill(sql!("models/epochs/list_earlier"))).await?;
        Ok::<_, Error>(session.query(&list, &[&epoch]).await?)
    };
    let earlier = list.await.map_err(engine_error)?;
    if earlier.is_empty() {
        return Ok(());
    }
    let look = async {
        let log = reader(home.store().pool()).await?;
        let epochs = read_epochs(&log).await?;
        let head = read_heads(&log, epochs.current()).await?;
        Ok::<_, Error>((epochs, head))
    };
    let (epochs, head) = look.await.map_err(engine_error)?;
    for row in earlier {
        let (name, number): (String, i32) = (row.get(0), row.get(1));
        let named = Name::new(name.clone()).map_err(EngineError::Refused)?;
        let number_of = BuildNumber(number as u32);
        let settle = async {
            hold(home, session, &named, number_of).await.map_err(engine_error)?;
            let read = home.fill(sql!("models/epochs/read_epoch"));
            let row = session.query_opt(&read, &[&name, &number]).await.map_err(|error| engine_error(error.into()))?;
            // Another server may have settled it while the lock was waited for, and gone on from there.
            let Some(of_epoch) = row.map(|row| row.get::<_, i32>(0)).filter(|of| *of as u32 != epochs.current().0)
            else {
                return Ok(());
            };
            let read = home.fill(sql!("models/epochs/read_highest"));
            let rows = session.query(&read, &[&name, &number]).await.map_err(|error| engine_error(error.into()))?;
            let positions = rows.iter().map(|row| Position(row.get::<_, i64>(0) as u64));
            let stands = Checkpoint::new(positions, Epoch(of_epoch as u32));
            match epochs.resolve(Some(&stands), &head) {
                Ok(_) => {
                    let enter = home.fill(sql!("models/epochs/enter_epoch"));
                    let epoch = epochs.current().0 as i32;
                    session
                        .execute(&enter, &[&name, &number, &epoch])
                        .await
                        .map_err(|error| engine_error(error.into()))?;
                }
                Err(error) => {
                    let to = match &error {
                        ReadError::Rewound { to } => to.clone(),
                        _ => head.clone(),
                    };
                    let state = State::Failed(Failed {
                        place: first_lost(&stands, &to),
                        error: format!(
                            "the log lost its tail: it goes on from {to}, and this build had come to {stands}; rebuild it"
                        ),
                        at: home.store().shared().clock.now(),
                    });
                    write_state(home, session, &named, number_of, &state).await.map_err(engine_error)?;
                }
            }
            Ok::<_, EngineError>(())
        };
        in_transaction(session, settle).await?;
    }
    in_transaction(session, settle_copies(home, session, &epochs, &head)).await
}

/// Keeps the copies that hold nothing of what was lost.
async fn settle_copies(home: &Home, session: &Session, epochs: &Epochs, head: &Checkpoint) -> Result<(), EngineError> {
    let settle = async {
        let epoch = epochs.current().0 as i32;
        let rows = session.query(&home.fill(sql!("models/epochs/list_earlier_copies")), &[&epoch]).await?;
        for row in rows {
            let (id, of_epoch, positions): (i64, i32, Vec<i64>) = (row.get(0), row.get(1), row.get(2));
            let positions = positions.into_iter().map(|position| Position(position as u64));
            let stands = Checkpoint::new(positions, Epoch(of_epoch as u32));
            let is_there = epochs.resolve(Some(&stands), head).is_ok();
            let settle = home.fill(match is_there {
                true => sql!("models/epochs/enter_epoch_of_copy"),
                false => sql!("models/epochs/take_copy"),
            });
            for row in session.query(&settle, &[&id, &epoch]).await?.iter().filter(|_| !is_there) {
                super::scratch::give_up(home, session, row.get(0)).await?;
            }
        }
        Ok::<_, Error>(())
    };
    settle.await.map_err(engine_error)
}

/// The first event that is gone.
fn first_lost(stands: &Checkpoint, to: &Checkpoint) -> Place {
    let beyond = |place: &Place| place.position > to.position(place.partition);
    let partition = stands.iter().find(beyond).map_or(Partition(0), |place| place.partition);
    Place { partition, position: to.position(partition).next() }
}
