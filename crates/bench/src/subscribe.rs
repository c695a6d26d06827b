//! The subscribe workload: appends at a steady rate, and how long each event takes to a live subscriber.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use pacioli_core::{Delivery, EventId, NewEvent, Subscribe};

use crate::pace::{self, Answered, Offered, Watch};
use crate::report::{Latencies, Measured, Parameters, Stall};
use crate::{BenchError, Connections};

/// How long to wait for the last events after the last append.
const LAST_EVENTS_PATIENCE: Duration = Duration::from_secs(30);

/// When each event on its way was sent.
#[derive(Default)]
struct Sent(Mutex<HashMap<EventId, Instant>>);

impl Watch for Sent {
    fn sent(&self, events: &[NewEvent], now: Instant) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.extend(events.iter().map(|event| (event.id, now)));
    }

    fn answered(&self, _offered: &Offered, _outcome: &Answered) {}
}

/// Appends events at the parameters' rate, shared out over the writers, each append sent when it is due, as long as no
/// more than `in_flight` of a writer are unanswered, and measures from the sending of each to its delivery. The warm-up's
/// events are not counted. The subscriber is on the first of `connections`; the appends go to `others`, where there are
/// some, and else to `connections` too.
///
/// # Errors
/// [`BenchError`] where an append is not taken, the subscription fails, or an event is not delivered in 30 s.
pub async fn subscribe(
    connections: &Connections,
    others: Option<&Connections>,
    parameters: &Parameters,
) -> Result<Measured, BenchError> {
    let Some(subscriber) = connections.first() else {
        return Err(BenchError::Usage("--connections must be at least 1".to_owned()));
    };
    let count = |seconds: f64| (parameters.rate as f64 * seconds).round() as u64;
    let (warm_up, total) = (count(parameters.warm_up_seconds), count(parameters.warm_up_seconds + parameters.seconds));

    // 1. The subscriber, from the head on and caught up before the first append.
    let sent = Arc::new(Sent::default());
    let after = Some(subscriber.head().await?);
    let mut deliveries = subscriber.subscribe(Subscribe { after, ..Subscribe::default() }).await?;
    while let Some(delivery) = deliveries.next().await {
        if matches!(delivery?, Delivery::CaughtUp { .. }) {
            break;
        }
    }
    let follow = tokio::spawn(follow(deliveries, Arc::clone(&sent), warm_up, total));

    // 2. The appends.
    let began = Instant::now();
    pace::append(others.unwrap_or(connections), parameters, total, sent).await?;
    let elapsed = began.elapsed().saturating_sub(Duration::from_secs_f64(parameters.warm_up_seconds));

    // 3. The last deliveries.
    let followed = tokio::time::timeout(LAST_EVENTS_PATIENCE, follow).await;
    let followed = followed.map_err(|_| BenchError::Outcome("an event was not delivered in 30 s".to_owned()))?;
    let (latencies, longest_stall_ms) =
        followed.map_err(|error| BenchError::Child(format!("the subscriber ended early: {error}")))??;
    Ok(Measured { events: latencies.len(), elapsed, latencies, longest_stall_ms, overloaded: 0 })
}

/// Takes deliveries until all `total` events came; leaves the first `warm_up` out of the latencies.
async fn follow(
    mut deliveries: pacioli_core::Deliveries,
    sent: Arc<Sent>,
    warm_up: u64,
    total: u64,
) -> Result<(Latencies, f64), BenchError> {
    let mut latencies = Latencies::default();
    let stall = Stall::default();
    let mut seen = 0;
    while seen < total {
        let Some(delivery) = deliveries.next().await else {
            return Err(BenchError::Outcome("the subscription ended before the appends did".to_owned()));
        };
        let Delivery::Events { events, .. } = delivery? else { continue };
        let now = Instant::now();
        let mut sent = sent.0.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            // Events of other writers to the same store are none of this run's business.
            let Some(sent) = sent.remove(&event.id) else { continue };
            seen += 1;
            if seen > warm_up {
                latencies.record(now - sent);
            }
        }
        if seen > warm_up {
            stall.answered(now);
        }
    }
    Ok((latencies, stall.take_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::append::tests::{memory, parameters};

    #[tokio::test(flavor = "multi_thread")]
    async fn every_event_is_delivered_once() {
        let parameters = Parameters { rate: 1_000, seconds: 0.3, warm_up_seconds: 0.1, ..parameters() };
        let measured = subscribe(&memory(), None, &parameters).await.unwrap();
        assert_eq!(measured.events, 300);
        assert_eq!(measured.latencies.len(), 300);
        let shared = Parameters { writers: 3, batch: 7, in_flight: 2, ..parameters };
        assert_eq!(subscribe(&memory(), None, &shared).await.unwrap().latencies.len(), 300);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn another_handle_may_be_the_writer() {
        let store = memory();
        let parameters = Parameters { rate: 500, seconds: 0.2, ..parameters() };
        assert_eq!(subscribe(&store, Some(&store.clone()), &parameters).await.unwrap().events, 100);
        // What is appended elsewhere never comes, and nothing is waited for that was not sent.
        assert!(matches!(subscribe(&store, Some(&Vec::new()), &parameters).await, Err(BenchError::Usage(_))));
    }
}
