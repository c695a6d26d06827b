//! The lookup workload: point reads of random rows, each reader one after the other, and appends beside them if wanted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::append::{Run, Until, one};
use crate::machine::Machine;
use crate::models::{Models, ReadModel};
use crate::pace::{self, Unwatched};
use crate::random::{Events, Random, stream_name};
use crate::report::{Latencies, Measured, Parameters, Stall, round};
use crate::{BenchError, Connections};

/// Appends on their way while the log is filled.
const FILLING: usize = 512;

/// What a run measured.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// One operation a point read.
    pub measured: Measured,
    /// How many found their row.
    pub found: u64,
}

/// A run as it is told.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Point reads a second.
    pub reads_per_second: f64,
    /// Median latency of a read.
    pub p50_ms: f64,
    /// The latency that 99 of 100 reads stay below.
    pub p99_ms: f64,
    /// The latency that 999 of 1,000 reads stay below.
    pub p999_ms: f64,
    /// The longest time without any answer.
    pub longest_stall_ms: f64,
    /// Reads counted.
    pub reads: u64,
    /// How many of them found a row.
    pub found: u64,
    /// Rows of the read model: one for each stream.
    pub rows: u64,
    /// Events a second that were appended meanwhile, each of which may change a row.
    pub appends_per_second: u64,
    /// Readers, each with one read on its way.
    pub readers: usize,
    /// The run's parameters.
    pub parameters: Parameters,
    /// The machine.
    pub machine: Machine,
}

impl Report {
    /// Puts a run and its circumstances together.
    pub fn new(looked: &Looked, readers: usize, parameters: Parameters, machine: Machine) -> Report {
        let Looked { measured, found } = looked;
        let latencies = &measured.latencies;
        Report {
            reads_per_second: round(latencies.len() as f64 / measured.elapsed.as_secs_f64().max(1e-9), 1),
            p50_ms: latencies.millis_at(0.5),
            p99_ms: latencies.millis_at(0.99),
            p999_ms: latencies.millis_at(0.999),
            longest_stall_ms: round(measured.longest_stall_ms, 3),
            reads: latencies.len(),
            found: *found,
            rows: parameters.streams,
            appends_per_second: parameters.rate,
            readers,
            parameters,
            machine,
        }
    }
}

/// Appends one event to each of the streams where the log is empty, so that a read model has a row for every key.
///
/// # Errors
/// [`BenchError`] where an append is not taken.
pub async fn fill(connections: &Connections, parameters: &Parameters) -> Result<(), BenchError> {
    let Some(store) = connections.first() else {
        return Err(BenchError::Usage("--connections must be at least 1".to_owned()));
    };
    if store.head().await?.iter().any(|place| place.position.0 > 0) {
        return Ok(());
    }
    let mut events = Events::new(parameters.seed, parameters)?;
    let run = Run::new(Until::Events(parameters.streams), Instant::now());
    let mut waiting = FuturesUnordered::new();
    for number in 0..parameters.streams {
        if waiting.len() >= FILLING
            && let Some(appended) = waiting.next().await
        {
            appended?;
        }
        let store = &**store;
        waiting.push(one(store, &run, stream_name(number), events.batch(1)));
    }
    while let Some(appended) = waiting.next().await {
        appended?;
    }
    Ok(())
}

/// Reads random rows over all of `models`, with `in_flight` readers on each, and appends meanwhile at the parameters' rate
/// where that is not 0. The warm-up is left out.
///
/// # Errors
/// [`BenchError`] where a parameter makes no sense, a read is not answered or finds nothing at all, or an append is not
/// taken.
pub async fn lookup(
    connections: &Connections,
    models: &[Arc<dyn Models>],
    model: &ReadModel,
    parameters: &Parameters,
) -> Result<Looked, BenchError> {
    if parameters.in_flight == 0 || models.is_empty() {
        return Err(BenchError::Usage("--in-flight and --connections must be at least 1".to_owned()));
    }
    let measure_from = Instant::now() + Duration::from_secs_f64(parameters.warm_up_seconds);
    let until = measure_from + Duration::from_secs_f64(parameters.seconds);
    let stall = Arc::new(Stall::default());
    let mut readers = JoinSet::new();
    for number in 0..models.len() * parameters.in_flight {
        let reader = Reader {
            models: Arc::clone(&models[number % models.len()]),
            table: model.table,
            keys: Random::new(parameters.seed.wrapping_add((number as u64 + 1).wrapping_mul(0x5851_F42D_4C95_7F2D))),
            streams: parameters.streams,
            measure_from,
            until,
            stall: Arc::clone(&stall),
        };
        readers.spawn(reader.run());
    }
    let appending = async {
        if parameters.rate == 0 {
            return Ok(());
        }
        let total = (parameters.rate as f64 * (parameters.warm_up_seconds + parameters.seconds)).round() as u64;
        // Appends of one reader's count would be too few on the way; a steady rate needs as many as are due.
        let parameters = Parameters { in_flight: FILLING, ..parameters.clone() };
        pace::append(connections, &parameters, total, Arc::new(Unwatched)).await
    };
    let reading = async {
        let mut looked = Looked::default();
        while let Some(reader) = readers.join_next().await {
            let (latencies, found) =
                reader.map_err(|error| BenchError::Child(format!("a reader ended early: {error}")))??;
            looked.measured.latencies.merge(&latencies);
            looked.found += found;
        }
        Ok(looked)
    };
    let (mut looked, ()) = tokio::try_join!(reading, appending)?;
    looked.measured.elapsed = until - measure_from;
    looked.measured.longest_stall_ms = stall.take_millis();
    match looked.found {
        0 => Err(BenchError::Outcome(format!(
            "no read found a row of `{}`; measure a store that a benchmark filled, with the same --streams",
            model.table
        ))),
        _ => Ok(looked),
    }
}

/// One reader: a read after the other.
struct Reader {
    models: Arc<dyn Models>,
    table: &'static str,
    keys: Random,
    streams: u64,
    measure_from: Instant,
    until: Instant,
    stall: Arc<Stall>,
}

impl Reader {
    async fn run(mut self) -> Result<(Latencies, u64), BenchError> {
        let (mut latencies, mut found) = (Latencies::default(), 0);
        loop {
            let account = stream_name(self.keys.below(self.streams));
            let sent = Instant::now();
            if sent >= self.until {
                return Ok((latencies, found));
            }
            let rows = self.models.look_up(self.table, account.as_str(), None).await?;
            let now = Instant::now();
            if sent >= self.measure_from && now <= self.until {
                self.stall.answered(now);
                latencies.record(now - sent);
                found += rows.min(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::append::tests::{memory, parameters};

    #[tokio::test(flavor = "multi_thread")]
    async fn each_stream_gets_one_event() {
        let store = memory();
        let parameters = Parameters { streams: 700, ..parameters() };
        fill(&store, &parameters).await.unwrap();
        fill(&store, &parameters).await.unwrap();
        assert_eq!(store[0].head().await.unwrap().to_string(), "0:700", "a log that has events is left as it is");
        let last = store[0].stream(&stream_name(699)).await.unwrap();
        assert!(last.is_some());
    }
}
