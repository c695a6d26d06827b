//! The bus: how this process learns what others appended.
//!
//! It only ever says how far the log has come. The events themselves are read from the table by position, once for all
//! subscribers, so whatever the bus forgets or says twice, nothing is missed and nothing is seen twice.

mod pgoutput;
mod polling;
mod slot;
#[cfg(unix)]
mod tunnel;
mod wal;

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use pacioli_core::place::{Checkpoint, Place};
use pacioli_core::store::{Bus, Filter, PayloadChoice};
use pacioli_core::subscription::Scan;

use crate::error::Result;
use crate::read;
use crate::shared::{Counters, ReadPool, Shared, ask_heads, read_heads, reader};

/// A commit of this process is in the table, and in the slot, before its writer has heard so. It is given the time to
/// publish it from memory, which is cheaper than to read it back.
const OWN_COME_FIRST: Duration = Duration::from_millis(2);
/// Partitions that are read at once: the connections are the readers'.
const READ_AT_ONCE: usize = 4;

/// Follows other writers until it is dropped.
pub(crate) async fn follow(shared: Arc<Shared>, pool: ReadPool, poll_only: bool) {
    if poll_only {
        shared.set_bus(Bus::Polling { why: "it was asked for".to_owned() });
        match polling::for_ever(&shared, &pool).await {}
    }
    match slot::follow(&shared, &pool).await {}
}

/// The log has come to these places: reads what is missing and hands it to the subscribers.
async fn hand_on(shared: &Shared, pool: &ReadPool, places: Vec<Place>) -> Result<()> {
    let reads = stream::iter(places).map(|place| async move {
        match arrived(shared, pool, place).await {
            Err(error) if !error.is_passing() => {
                tracing::warn!(%error, %place, "events of another writer cannot be read; each subscriber is told");
                observe(shared, pool, place).await
            }
            other => other,
        }
    });
    reads.buffer_unordered(READ_AT_ONCE).try_collect().await
}

/// A partition has come to a place. Where that is more than the ring of recent events holds, each subscriber reads for
/// itself. A commit is announced before others see it: where it is not visible yet, the head stays behind the place.
async fn arrived(shared: &Shared, pool: &ReadPool, place: Place) -> Result<()> {
    let Place { partition, position: head } = place;
    loop {
        let epoch = shared.recent.epoch();
        let after = shared.recent.head(partition);
        if head <= after {
            return Ok(());
        }
        if head.0 - after.0 > shared.recent.limits().events_max as u64 {
            return observe(shared, pool, place).await;
        }
        Counters::add(&shared.counters.gap_reads);
        let scan = Scan {
            partition,
            after,
            up_to: head,
            epoch,
            filter: Arc::new(Filter::default()),
            limit: shared.limits.page_events_max,
            payload: PayloadChoice::All,
        };
        let scanned = {
            let session = reader(pool).await?;
            // The slot announces a commit before its standby has answered, and so before anybody sees it.
            let visible = session.soon(read_heads(&session, epoch)).await?.position(partition);
            let scan = Scan { up_to: head.min(visible), ..scan };
            session.within(read::scan(shared, &session, &scan)).await?
        };
        if scanned.events.is_empty() {
            // Not visible yet; or another epoch began, and where the heads are was learned with it.
            return Ok(());
        }
        shared.recent.publish_in(epoch, &scanned.events);
    }
}

/// Tells subscribers that a partition has come to a place, as far as that is visible.
async fn observe(shared: &Shared, pool: &ReadPool, place: Place) -> Result<()> {
    let heads = {
        let epoch = shared.recent.epoch();
        ask_heads(pool, epoch).await?
    };
    let mut seen = Checkpoint::start(shared.partitions, heads.epoch());
    seen.advance(place.partition, heads.position(place.partition).min(place.position));
    shared.recent.observe(&seen);
    Ok(())
}
