//! The append workload: a closed loop of writers, each with a fixed number of appends in flight.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use pacioli_core::{Append, AppendError, AppendOutcome, EventStore, ExpectedVersion, NewEvent};

use crate::pace::{self, Answered, Offered, Watch};
use crate::random::Events;
use crate::report::{Latencies, Measured, Parameters, Stall};
use crate::{BenchError, Connections};

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// At this moment.
    Time(Instant),
    /// After so many events, all writers together.
    Events(u64),
}

/// What all writers of a run share.
pub(crate) struct Run {
    until: Until,
    claimed: AtomicU64,
    measure_from: Instant,
    /// Events acknowledged in the measured time.
    pub(crate) events: AtomicU64,
    pub(crate) stall: Stall,
    overloaded: AtomicU64,
}

impl Run {
    pub(crate) fn new(until: Until, measure_from: Instant) -> Run {
        Run {
            until,
            claimed: AtomicU64::new(0),
            measure_from,
            events: AtomicU64::new(0),
            stall: Stall::default(),
            overloaded: AtomicU64::new(0),
        }
    }

    /// How many events the next append takes, of `batch` at most; `None` when the run is over.
    fn claim(&self, batch: usize) -> Option<usize> {
        match self.until {
            Until::Time(end) => (Instant::now() < end).then_some(batch),
            Until::Events(total) => {
                let before = self.claimed.fetch_add(batch as u64, Ordering::Relaxed);
                let left = total.saturating_sub(before).min(batch as u64);
                (left > 0).then_some(left as usize)
            }
        }
    }
}

/// Appends for the time that the parameters ask for, after a warm-up: at their rate, or as fast as it goes where that is 0.
///
/// # Errors
/// [`BenchError`] where a parameter makes no sense or an append is not taken.
pub async fn append(connections: &Connections, parameters: &Parameters) -> Result<Measured, BenchError> {
    if parameters.rate > 0 {
        return steady(connections, parameters).await;
    }
    let began = Instant::now();
    let measure_from = began + Duration::from_secs_f64(parameters.warm_up_seconds);
    let until = measure_from + Duration::from_secs_f64(parameters.seconds);
    let run = Arc::new(Run::new(Until::Time(until), measure_from));
    let mut measured = drive(connections, parameters, &run).await?;
    measured.elapsed = until - measure_from;
    Ok(measured)
}

/// What a steady run measures: appends that were sent in the measured time.
struct Steady {
    measure_from: Instant,
    stall: Stall,
    measured: Mutex<(u64, Latencies)>,
}

impl Watch for Steady {
    fn sent(&self, _events: &[NewEvent], _now: Instant) {}

    fn answered(&self, offered: &Offered, _outcome: &Answered) {
        let Offered { sent, events, .. } = *offered;
        if sent < self.measure_from {
            return;
        }
        let now = Instant::now();
        self.stall.answered(now);
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.0 += events as u64;
        measured.1.record(now - sent);
    }
}

async fn steady(connections: &Connections, parameters: &Parameters) -> Result<Measured, BenchError> {
    let measure_from = Instant::now() + Duration::from_secs_f64(parameters.warm_up_seconds);
    let steady = Arc::new(Steady { measure_from, stall: Stall::default(), measured: Mutex::default() });
    let total = (parameters.rate as f64 * (parameters.warm_up_seconds + parameters.seconds)).round() as u64;
    pace::append(connections, parameters, total, Arc::clone(&steady) as Arc<dyn Watch>).await?;
    let (events, latencies) = std::mem::take(&mut *steady.measured.lock().unwrap_or_else(PoisonError::into_inner));
    let (elapsed, longest_stall_ms) = (measure_from.elapsed(), steady.stall.take_millis());
    Ok(Measured { events, elapsed, latencies, longest_stall_ms, overloaded: 0 })
}

/// Appends `events` events as fast as the parameters' writers can.
pub(crate) async fn load(
    connections: &Connections,
    parameters: &Parameters,
    events: u64,
) -> Result<Measured, BenchError> {
    let began = Instant::now();
    let run = Arc::new(Run::new(Until::Events(events), began));
    let mut measured = drive(connections, parameters, &run).await?;
    measured.elapsed = began.elapsed();
    Ok(measured)
}

pub(crate) async fn drive(
    connections: &Connections,
    parameters: &Parameters,
    run: &Arc<Run>,
) -> Result<Measured, BenchError> {
    for (flag, value) in [
        ("--writers", parameters.writers),
        ("--in-flight", parameters.in_flight),
        ("--batch", parameters.batch),
        ("--connections", connections.len()),
    ] {
        if value == 0 {
            return Err(BenchError::Usage(format!("{flag} must be at least 1")));
        }
    }
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..parameters.writers {
        let store = Arc::clone(&connections[writer % connections.len()]);
        let seed = parameters.seed.wrapping_add((writer as u64 + 1).wrapping_mul(0x5851_F42D_4C95_7F2D));
        let events = Events::new(seed, parameters)?;
        writers.spawn(write(store, events, Arc::clone(run), parameters.in_flight, parameters.batch));
    }
    let mut measured = Measured::default();
    while let Some(writer) = writers.join_next().await {
        let latencies = writer.map_err(|error| BenchError::Child(format!("a writer ended early: {error}")))??;
        measured.latencies.merge(&latencies);
    }
    measured.events = run.events.load(Ordering::Relaxed);
    measured.longest_stall_ms = run.stall.take_millis();
    measured.overloaded = run.overloaded.load(Ordering::Relaxed);
    Ok(measured)
}

/// One writer: keeps `in_flight` appends on their way until the run is over, then waits for the last of them.
async fn write(
    store: Arc<dyn EventStore>,
    mut events: Events,
    run: Arc<Run>,
    in_flight: usize,
    batch: usize,
) -> Result<Latencies, BenchError> {
    let mut latencies = Latencies::default();
    let mut waiting = FuturesUnordered::new();
    let mut over = false;
    loop {
        while !over && waiting.len() < in_flight {
            match run.claim(batch) {
                Some(count) => waiting.push(one(&*store, &run, events.stream(), events.batch(count))),
                None => over = true,
            }
        }
        let Some(answered) = waiting.next().await else { return Ok(latencies) };
        let (sent, count) = answered?;
        let now = Instant::now();
        let in_time = match run.until {
            Until::Time(end) => sent >= run.measure_from && now <= end,
            Until::Events(_) => true,
        };
        // The rate counts what is acknowledged in the measured time, also what was sent in the warm-up.
        if now >= run.measure_from && !matches!(run.until, Until::Time(end) if now > end) {
            run.events.fetch_add(count as u64, Ordering::Relaxed);
            run.stall.answered(now);
        }
        if in_time {
            latencies.record(now - sent);
        }
    }
}

/// One append, sent again as long as the store asks to come back later. Gives when it was first sent, and its events.
pub(crate) async fn one(
    store: &dyn EventStore,
    run: &Run,
    stream: pacioli_core::StreamName,
    events: Vec<NewEvent>,
) -> Result<(Instant, usize), BenchError> {
    let sent = Instant::now();
    let count = events.len();
    // Payloads are shared, so the copy that a refused append needs costs little beside the append.
    let request = Append::to(stream, ExpectedVersion::Any, events);
    loop {
        match store.append(request.clone()).await {
            Ok(AppendOutcome::Appended(_)) => return Ok((sent, count)),
            Ok(AppendOutcome::Conflict(conflict)) => return Err(BenchError::Outcome(conflict.to_string())),
            Ok(AppendOutcome::Refused(refusal)) => return Err(BenchError::Outcome(refusal.to_string())),
            Err(AppendError::Overloaded { retry_after }) => {
                run.overloaded.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(retry_after).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use pacioli_core::memory::MemoryStore;
    use pacioli_core::{Limits, SystemClock};

    pub(crate) fn memory() -> Connections {
        let clock = Arc::new(SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration))));
        vec![Arc::new(MemoryStore::new(1, Limits::default(), clock))]
    }

    pub(crate) fn parameters() -> Parameters {
        Parameters {
            workload: "append",
            writers: 2,
            in_flight: 4,
            batch: 3,
            streams: 10,
            payload_bytes: 100,
            seconds: 0.2,
            ..Parameters::default()
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_counted_is_in_the_log() {
        let store = memory();
        let measured = load(&store, &parameters(), 1_000).await.unwrap();
        assert_eq!(measured.events, 1_000);
        assert_eq!(store[0].head().await.unwrap().to_string(), "0:1000");
        let timed = append(&store, &parameters()).await.unwrap();
        assert!(timed.events > 0);
        assert!(timed.latencies.millis_at(0.99) >= timed.latencies.millis_at(0.5));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_steady_run_sends_what_is_due_and_leaves_the_warm_up_out() {
        let store = memory();
        let parameters = Parameters { rate: 1_000, seconds: 0.3, warm_up_seconds: 0.1, batch: 1, ..parameters() };
        let measured = append(&store, &parameters).await.unwrap();
        assert_eq!(store[0].head().await.unwrap().to_string(), "0:400");
        assert!((200..=400).contains(&measured.events), "{}", measured.events);
        assert_eq!(measured.latencies.len(), measured.events);
        assert!(measured.elapsed >= Duration::from_millis(250), "{:?}", measured.elapsed);
    }

    #[tokio::test]
    async fn a_parameter_that_makes_no_sense_is_refused() {
        let wrong = Parameters { in_flight: 0, ..parameters() };
        assert!(matches!(append(&memory(), &wrong).await, Err(BenchError::Usage(_))));
        assert!(matches!(append(&Vec::new(), &parameters()).await, Err(BenchError::Usage(_))));
    }
}
