//! Looking again and again, where there is no slot.

use std::convert::Infallible;
use std::time::Duration;

use pacioli_core::place::{Checkpoint, Place};
use tokio::time::Instant;

use super::{OWN_COME_FIRST, hand_on};
use crate::error::Result;
use crate::shared::{ReadPool, Shared, ask_heads};

/// How often `commits` is looked at.
const EVERY: Duration = Duration::from_millis(20);
/// The heads of many partitions take their time. Looking may take no more than one part in so many of a connection.
const SHARE: u32 = 10;
/// And yet it is looked so often.
const EVERY_MAX: Duration = Duration::from_millis(250);
/// How often, while the database cannot be reached.
const WHILE_AWAY: Duration = Duration::from_millis(250);

/// Looks for ever.
pub(super) async fn for_ever(shared: &Shared, pool: &ReadPool) -> Infallible {
    loop {
        let pause = match look_and_time(shared, pool).await {
            Ok((_, took)) => (took * SHARE).clamp(EVERY, EVERY_MAX),
            Err(error) => {
                tracing::debug!(%error, "could not look for events of other writers");
                WHILE_AWAY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Looks once, hands on what is new, and returns where the log stands.
pub(super) async fn look(shared: &Shared, pool: &ReadPool) -> Result<Checkpoint> {
    look_and_time(shared, pool).await.map(|(heads, _)| heads)
}

async fn look_and_time(shared: &Shared, pool: &ReadPool) -> Result<(Checkpoint, Duration)> {
    let began = Instant::now();
    let heads = ask_heads(pool, shared.recent.epoch()).await?;
    let took = began.elapsed();
    let is_news = |place: &Place| place.position > shared.recent.head(place.partition);
    if heads.iter().any(|place| is_news(&place)) {
        if !shared.own_by_bus {
            tokio::time::sleep(OWN_COME_FIRST).await;
        }
        hand_on(shared, pool, heads.iter().filter(is_news).collect()).await?;
    }
    Ok((heads, took))
}
