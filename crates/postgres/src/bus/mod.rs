//! The bus: how this process learns what others appended.
//!
//! It only ever says how far the log has come. The events themselves are read from the table by position, once for all
//! subscribers, so whatever the bus forgets or says twice, nothing is missed and nothing is seen twice.

mod polling;

use std::sync::Arc;

use pacioli_core::Partition;
use pacioli_core::place::{Checkpoint, Position};
use pacioli_core::store::{Filter, PayloadChoice};
use pacioli_core::subscription::Scan;

use crate::error::Result;
use crate::read;
use crate::shared::{Counters, ReadPool, Shared, reader};

/// Follows other writers until it is dropped.
pub(crate) async fn follow(shared: Arc<Shared>, pool: ReadPool, poll_only: bool) {
    let _ = poll_only;
    polling::follow(&shared, &pool, "the bus is not built").await;
}

/// The log of a partition has come to `head`: reads what is missing and hands it to the subscribers.
///
/// Where it is more than the ring of recent events holds, each subscriber reads for itself.
async fn arrived(shared: &Shared, pool: &ReadPool, partition: Partition, head: Position) -> Result<()> {
    loop {
        let epoch = shared.recent.epoch();
        let after = shared.recent.head(partition);
        if head <= after {
            return Ok(());
        }
        if head.0 - after.0 > shared.recent.limits().events_max as u64 {
            let mut seen = Checkpoint::start(shared.partitions, epoch);
            seen.advance(partition, head);
            shared.recent.observe(&seen);
            return Ok(());
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
        let session = reader(pool).await?;
        let scanned = session.within(read::scan(shared, &session, &scan)).await?;
        if scanned.events.is_empty() {
            // Another epoch began; where the heads are was learned with it.
            return Ok(());
        }
        shared.recent.publish_in(epoch, &scanned.events);
    }
}
