//! Looking again and again, where there is no slot.

use std::time::Duration;

use crate::error::Result;
use crate::shared::{ReadPool, Shared, read_heads, reader};

/// How often `commits` is looked at.
const EVERY: Duration = Duration::from_millis(20);
/// How often, while the database cannot be reached.
const WHILE_AWAY: Duration = Duration::from_millis(250);

/// Looks for ever.
pub(super) async fn follow(shared: &Shared, pool: &ReadPool, why: &str) {
    if shared.set_bus(pacioli_core::store::Bus::Polling { why: why.to_owned() }) {
        tracing::warn!(why, "events of other writers are polled for");
    }
    loop {
        let pause = match look(shared, pool).await {
            Ok(()) => EVERY,
            Err(error) => {
                tracing::debug!(%error, "could not look for events of other writers");
                WHILE_AWAY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Looks once, and hands on what is new.
pub(super) async fn look(shared: &Shared, pool: &ReadPool) -> Result<()> {
    let heads = {
        let epoch = shared.recent.epoch();
        let session = reader(pool).await?;
        session.within(read_heads(&session, epoch)).await?
    };
    for place in heads.iter() {
        super::arrived(shared, pool, place.partition, place.position).await?;
    }
    Ok(())
}
