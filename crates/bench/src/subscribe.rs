//! The subscribe workload: appends at a steady rate, and how long each event takes to a live subscriber.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use pacioli_core::{Append, AppendOutcome, Delivery, EventId, EventStore, ExpectedVersion, Subscribe};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::random::Events;
use crate::report::{Latencies, Measured, Parameters, Stall};
use crate::{BenchError, Connections};

/// How long to wait for the last events after the last append.
const LAST_EVENTS_PATIENCE: Duration = Duration::from_secs(30);

/// When each event on its way was sent.
type Sent = Arc<Mutex<HashMap<EventId, Instant>>>;

/// Appends events at the parameters' rate, shared out over the writers, each append sent when it is due, as long as no
/// more than `in_flight` of a writer are unanswered, and measures from the sending of each to its delivery. The warm-up's events are not counted.
///
/// # Errors
/// [`BenchError`] where an append is not taken, the subscription fails, or an event is not delivered in 30 s.
pub async fn subscribe(connections: &Connections, parameters: &Parameters) -> Result<Measured, BenchError> {
    let Some(subscriber) = connections.first() else {
        return Err(BenchError::Usage("--connections must be at least 1".to_owned()));
    };
    let flags = [
        ("--rate", parameters.rate),
        ("--writers", parameters.writers as u64),
        ("--in-flight", parameters.in_flight as u64),
        ("--batch", parameters.batch as u64),
    ];
    if let Some((flag, _)) = flags.iter().find(|(_, value)| *value == 0) {
        return Err(BenchError::Usage(format!("{flag} must be at least 1")));
    }
    let count = |seconds: f64| (parameters.rate as f64 * seconds).round() as u64;
    let (warm_up, total) = (count(parameters.warm_up_seconds), count(parameters.warm_up_seconds + parameters.seconds));

    // 1. The subscriber, from the head on and caught up before the first append.
    let sent: Sent = Arc::default();
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
    let mut writers = JoinSet::new();
    for writer in 0..parameters.writers {
        // From the last connection on, so that the first is the subscriber's alone as long as there are others.
        let store = Arc::clone(&connections[connections.len() - 1 - writer % connections.len()]);
        let share = Share::of(total, parameters, writer);
        writers.spawn(write(store, parameters.clone(), share, Arc::clone(&sent)));
    }
    while let Some(writer) = writers.join_next().await {
        writer.map_err(|error| BenchError::Child(format!("a writer ended early: {error}")))??;
    }
    let elapsed = began.elapsed().saturating_sub(Duration::from_secs_f64(parameters.warm_up_seconds));

    // 3. The last deliveries.
    let followed = tokio::time::timeout(LAST_EVENTS_PATIENCE, follow).await;
    let followed = followed.map_err(|_| BenchError::Outcome("an event was not delivered in 30 s".to_owned()))?;
    let (latencies, longest_stall_ms) =
        followed.map_err(|error| BenchError::Child(format!("the subscriber ended early: {error}")))??;
    Ok(Measured { events: latencies.len(), elapsed, latencies, longest_stall_ms, overloaded: 0 })
}

/// What one of the writers does.
struct Share {
    /// Its events, all told.
    events: u64,
    /// Its events a second.
    rate: f64,
    /// Where its streams and ids come from.
    seed: u64,
}

impl Share {
    fn of(total: u64, parameters: &Parameters, writer: usize) -> Share {
        let writers = parameters.writers as u64;
        let rest = u64::from((writer as u64) < total % writers);
        Share {
            events: total / writers + rest,
            rate: parameters.rate as f64 / parameters.writers as f64,
            seed: parameters.seed.wrapping_add(writer as u64),
        }
    }
}

async fn write(store: Arc<dyn EventStore>, parameters: Parameters, share: Share, sent: Sent) -> Result<(), BenchError> {
    let mut events = Events::new(share.seed, parameters.streams, parameters.payload_bytes)?;
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut appends = JoinSet::new();
    let began = Instant::now();
    let mut count = 0;
    while count < share.events {
        ticks.tick().await;
        let due = ((began.elapsed().as_secs_f64() * share.rate) as u64).min(share.events);
        // An append goes when all of its events are due; the last one may be smaller.
        while count < due && (due - count >= parameters.batch as u64 || due == share.events) {
            if appends.len() >= parameters.in_flight
                && let Some(append) = appends.join_next().await
            {
                check(append)?;
            }
            let batch = events.batch(parameters.batch.min((share.events - count) as usize));
            count += batch.len() as u64;
            let request = Append::to(events.stream(), ExpectedVersion::Any, batch.clone());
            let store = Arc::clone(&store);
            let now = Instant::now();
            sent.lock().unwrap_or_else(PoisonError::into_inner).extend(batch.iter().map(|event| (event.id, now)));
            appends.spawn(async move { store.append(request).await });
        }
        while let Some(append) = appends.try_join_next() {
            check(append)?;
        }
    }
    while let Some(append) = appends.join_next().await {
        check(append)?;
    }
    Ok(())
}

fn check(
    append: Result<Result<AppendOutcome, pacioli_core::AppendError>, tokio::task::JoinError>,
) -> Result<(), BenchError> {
    match append.map_err(|error| BenchError::Child(format!("an append ended early: {error}")))?? {
        AppendOutcome::Appended(_) => Ok(()),
        AppendOutcome::Conflict(conflict) => Err(BenchError::Outcome(conflict.to_string())),
        AppendOutcome::Refused(refusal) => Err(BenchError::Outcome(refusal.to_string())),
    }
}

/// Takes deliveries until all `total` events came; leaves the first `warm_up` out of the latencies.
async fn follow(
    mut deliveries: pacioli_core::Deliveries,
    sent: Sent,
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
        let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
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
        let measured = subscribe(&memory(), &parameters).await.unwrap();
        assert_eq!(measured.events, 300);
        assert_eq!(measured.latencies.len(), 300);
        let shared = Parameters { writers: 3, batch: 7, in_flight: 2, ..parameters };
        assert_eq!(subscribe(&memory(), &shared).await.unwrap().latencies.len(), 300);
    }
}
