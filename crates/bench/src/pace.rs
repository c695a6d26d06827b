//! Appends at a steady rate: each goes when it is due, however long the others take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pacioli_core::{Append, AppendError, AppendOutcome, EventStore, ExpectedVersion, NewEvent, StreamName};
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::random::Events;
use crate::report::Parameters;
use crate::{BenchError, Connections};

/// Who looks at what is sent and answered.
pub(crate) trait Watch: Send + Sync + 'static {
    /// These events are sent now.
    fn sent(&self, events: &[NewEvent], now: Instant);

    /// This append is answered now.
    fn answered(&self, offered: &Offered, outcome: &Answered);
}

/// An append on its way.
pub(crate) struct Offered {
    /// When it was sent.
    pub(crate) sent: Instant,
    /// The stream it goes to.
    pub(crate) stream: StreamName,
    /// How many events it has.
    pub(crate) events: usize,
}

/// How an append ended.
pub(crate) type Answered = Result<AppendOutcome, AppendError>;

/// Nobody looks.
pub(crate) struct Unwatched;

impl Watch for Unwatched {
    fn sent(&self, _events: &[NewEvent], _now: Instant) {}

    fn answered(&self, _offered: &Offered, _outcome: &Answered) {}
}

/// Sends `total` events at the parameters' rate, shared out over the writers, as long as no more than `in_flight` appends
/// of a writer are unanswered.
pub(crate) async fn append(
    connections: &Connections,
    parameters: &Parameters,
    total: u64,
    watch: Arc<dyn Watch>,
) -> Result<(), BenchError> {
    let flags = [
        ("--rate", parameters.rate),
        ("--writers", parameters.writers as u64),
        ("--in-flight", parameters.in_flight as u64),
        ("--batch", parameters.batch as u64),
        ("--connections", connections.len() as u64),
    ];
    if let Some((flag, _)) = flags.iter().find(|(_, value)| *value == 0) {
        return Err(BenchError::Usage(format!("{flag} must be at least 1")));
    }
    let mut writers = JoinSet::new();
    for writer in 0..parameters.writers {
        // From the last connection on, so that the first is a subscriber's alone as long as there are others.
        let store = Arc::clone(&connections[connections.len() - 1 - writer % connections.len()]);
        let share = Share::of(total, parameters, writer);
        writers.spawn(write(store, parameters.clone(), share, Arc::clone(&watch)));
    }
    while let Some(writer) = writers.join_next().await {
        writer.map_err(|error| BenchError::Child(format!("a writer ended early: {error}")))??;
    }
    Ok(())
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

async fn write(
    store: Arc<dyn EventStore>,
    parameters: Parameters,
    share: Share,
    watch: Arc<dyn Watch>,
) -> Result<(), BenchError> {
    let mut events = Events::new(share.seed, &parameters)?;
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut appends: JoinSet<Answered> = JoinSet::new();
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
            let offered = Offered { sent: Instant::now(), stream: events.stream(), events: batch.len() };
            let (store, watch) = (Arc::clone(&store), Arc::clone(&watch));
            watch.sent(&batch, offered.sent);
            let request = Append::to(offered.stream.clone(), ExpectedVersion::Any, batch);
            appends.spawn(async move {
                let outcome = store.append(request).await;
                watch.answered(&offered, &outcome);
                outcome
            });
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

fn check(append: Result<Answered, JoinError>) -> Result<(), BenchError> {
    match append.map_err(|error| BenchError::Child(format!("an append ended early: {error}")))?? {
        AppendOutcome::Appended(_) => Ok(()),
        AppendOutcome::Conflict(conflict) => Err(BenchError::Outcome(conflict.to_string())),
        AppendOutcome::Refused(refusal) => Err(BenchError::Outcome(refusal.to_string())),
    }
}
