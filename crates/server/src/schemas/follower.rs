//! Keeps up with what other servers register: their changes are events of one stream, and the registry is read when one
//! comes and now and then without.

use std::time::Duration;

use futures::StreamExt;
use pacioli_core::schemas::REGISTRY_STREAM;
use pacioli_core::{Delivery, Filter, PayloadChoice, ReadError, Subscribe};

use super::Registry;

/// How often the registry is read though nobody said that it changed.
const LOOK: Duration = Duration::from_secs(5);
/// The wait after the storage failed.
const WAIT: Duration = Duration::from_secs(1);

pub(super) async fn follow(registry: Registry) {
    loop {
        match follow_once(&registry).await {
            // The subscription ends with the store; it is asked again, in case that it was only its past that was lost.
            Ok(()) | Err(ReadError::Rewound { .. }) => {}
            Err(error) => tracing::warn!(%error, "cannot follow the schema registry; it is tried again"),
        }
        tokio::time::sleep(WAIT).await;
    }
}

async fn follow_once(registry: &Registry) -> Result<(), ReadError> {
    let store = registry.store();
    let subscribe = Subscribe {
        after: Some(store.head().await?),
        filter: Filter { stream_prefix: Some(REGISTRY_STREAM.to_owned()), ..Filter::default() },
        payload: PayloadChoice::None,
        heartbeat: LOOK,
        ..Subscribe::default()
    };
    let mut deliveries = store.subscribe(subscribe).await?;
    registry.refresh().await?;
    while let Some(delivery) = deliveries.next().await {
        match delivery? {
            Delivery::Events { .. } | Delivery::Heartbeat { .. } => {
                registry.refresh().await?;
            }
            Delivery::CaughtUp { .. } => {}
        }
    }
    Ok(())
}
