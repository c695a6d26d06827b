//! The lag workload: appends at a steady rate, and how long each sampled one takes until a read model shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pacioli_core::{AppendOutcome, NewEvent};
use serde::Serialize;
use tokio::sync::mpsc::{self, UnboundedSender};

use crate::machine::Machine;
use crate::models::{Models, ReadModel};
use crate::pace::{self, Answered, Offered, Watch};
use crate::report::{Latencies, Parameters, round};
use crate::{BenchError, Connections};

/// How long to wait for the last answers after the last append.
const LAST_ANSWERS_PATIENCE: Duration = Duration::from_secs(30);

/// What a run measured.
#[derive(Clone, Debug, Default)]
pub struct Lag {
    /// From the acknowledgement of an append until a point read that waits for its checkpoint is answered.
    pub from_answer: Latencies,
    /// The same from when the append was sent.
    pub from_send: Latencies,
    /// Events acknowledged in the measured time.
    pub events: u64,
    /// The measured time.
    pub elapsed: Duration,
}

/// A run as it is told.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Events a second that were acknowledged.
    pub events_per_second: f64,
    /// Appends that were waited for.
    pub samples: u64,
    /// From an append's acknowledgement until the read model shows it: the median.
    pub p50_ms: f64,
    /// The time that 99 of 100 stay below.
    pub p99_ms: f64,
    /// The time that 999 of 1,000 stay below.
    pub p999_ms: f64,
    /// The longest.
    pub longest_ms: f64,
    /// From when an append was sent until the read model shows it: the median.
    pub from_send_p50_ms: f64,
    /// The time that 99 of 100 stay below.
    pub from_send_p99_ms: f64,
    /// One in so many appends was waited for.
    pub sample: u64,
    /// The run's parameters.
    pub parameters: Parameters,
    /// The machine.
    pub machine: Machine,
}

impl Report {
    /// Puts a run and its circumstances together.
    pub fn new(lag: &Lag, sample: u64, parameters: Parameters, machine: Machine) -> Report {
        let (answer, send) = (&lag.from_answer, &lag.from_send);
        Report {
            events_per_second: round(lag.events as f64 / lag.elapsed.as_secs_f64().max(1e-9), 1),
            samples: answer.len(),
            p50_ms: answer.millis_at(0.5),
            p99_ms: answer.millis_at(0.99),
            p999_ms: answer.millis_at(0.999),
            longest_ms: answer.millis_at(1.0),
            from_send_p50_ms: send.millis_at(0.5),
            from_send_p99_ms: send.millis_at(0.99),
            sample,
            parameters,
            machine,
        }
    }
}

/// Appends at the parameters' rate, and waits for every `sample`th append as a user does who wants to see what was just
/// written: with a point read, not before the append's checkpoint. The warm-up is left out.
///
/// The projection must be there already. Reads go over `models` in turn.
///
/// # Errors
/// [`BenchError`] where an append is not taken, or a read is not answered or does not find what was appended.
pub async fn lag(
    connections: &Connections,
    models: &[Arc<dyn Models>],
    model: &ReadModel,
    sample: u64,
    parameters: &Parameters,
) -> Result<Lag, BenchError> {
    if sample == 0 || models.is_empty() {
        return Err(BenchError::Usage("--sample must be at least 1".to_owned()));
    }
    let (results, mut seen) = mpsc::unbounded_channel();
    let waits = Waits {
        models: models.to_vec(),
        table: model.table,
        measure_from: Instant::now() + Duration::from_secs_f64(parameters.warm_up_seconds),
        sample,
        appends: AtomicU64::new(0),
        events: AtomicU64::new(0),
        results,
    };
    let waits = Arc::new(waits);
    let total = (parameters.rate as f64 * (parameters.warm_up_seconds + parameters.seconds)).round() as u64;
    pace::append(connections, parameters, total, Arc::clone(&waits) as Arc<dyn Watch>).await?;
    let mut lag =
        Lag { events: waits.events.load(Ordering::Relaxed), elapsed: waits.measure_from.elapsed(), ..Lag::default() };
    // The channel ends with the last wait.
    drop(waits);
    let all = async {
        while let Some(waited) = seen.recv().await {
            let (from_answer, from_send) = waited?;
            lag.from_answer.record(from_answer);
            lag.from_send.record(from_send);
        }
        Ok::<_, BenchError>(())
    };
    let late = |_| BenchError::Outcome("an append was not seen in the read model in 30 s".to_owned());
    tokio::time::timeout(LAST_ANSWERS_PATIENCE, all).await.map_err(late)??;
    match lag.from_answer.is_empty() {
        false => Ok(lag),
        true => Err(BenchError::Usage(
            "no append was waited for; measure longer, or more of them with a smaller --sample".to_owned(),
        )),
    }
}

/// From an append's acknowledgement, and from its sending, until it was seen.
type Waited = Result<(Duration, Duration), BenchError>;

/// Waits for some of the appends.
struct Waits {
    models: Vec<Arc<dyn Models>>,
    table: &'static str,
    measure_from: Instant,
    sample: u64,
    appends: AtomicU64,
    events: AtomicU64,
    results: UnboundedSender<Waited>,
}

impl Watch for Waits {
    fn sent(&self, _events: &[NewEvent], _now: Instant) {}

    fn answered(&self, offered: &Offered, outcome: &Answered) {
        let answered = Instant::now();
        // Any other outcome ends the run.
        let Ok(AppendOutcome::Appended(appended)) = outcome else { return };
        if offered.sent < self.measure_from {
            return;
        }
        self.events.fetch_add(offered.events as u64, Ordering::Relaxed);
        let number = self.appends.fetch_add(1, Ordering::Relaxed);
        if !number.is_multiple_of(self.sample) {
            return;
        }
        let models = Arc::clone(&self.models[(number / self.sample) as usize % self.models.len()]);
        let (table, results) = (self.table, self.results.clone());
        let (checkpoint, stream, sent) = (appended.checkpoint.clone(), offered.stream.clone(), offered.sent);
        tokio::spawn(async move {
            let rows = models.look_up(table, stream.as_str(), Some(&checkpoint)).await;
            let waited = match rows {
                Ok(0) => Err(BenchError::Outcome(format!("`{stream}` is not in `{table}` at {checkpoint}"))),
                Ok(_) => Ok((answered.elapsed(), sent.elapsed())),
                Err(error) => Err(error),
            };
            // Who gave the run up is not interested any more.
            let _ = results.send(waited);
        });
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use pacioli_core::Checkpoint;

    use super::*;
    use crate::append::tests::{memory, parameters};

    /// A read model that has everything at once, or never anything.
    struct Fake {
        rows: u64,
    }

    #[async_trait]
    impl Models for Fake {
        async fn add(&self, _model: &ReadModel) -> Result<bool, BenchError> {
            Ok(true)
        }

        async fn remove(&self, _model: &ReadModel) -> Result<(), BenchError> {
            Ok(())
        }

        async fn ask(&self, _sql: &str, _at_least: Option<&Checkpoint>) -> Result<u64, BenchError> {
            Ok(self.rows)
        }

        async fn look_up(&self, _: &str, _: &str, at_least: Option<&Checkpoint>) -> Result<u64, BenchError> {
            assert!(at_least.is_some(), "a read that waits for nothing measures nothing");
            Ok(self.rows)
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_nth_append_behind_the_warm_up_is_waited_for() {
        let models: [Arc<dyn Models>; 1] = [Arc::new(Fake { rows: 1 })];
        let parameters = Parameters { rate: 1_000, seconds: 0.3, warm_up_seconds: 0.1, batch: 1, ..parameters() };
        let lag = lag(&memory(), &models, &ReadModel::accounts(), 10, &parameters).await.unwrap();
        assert!((20..=40).contains(&lag.from_answer.len()), "{}", lag.from_answer.len());
        assert_eq!(lag.from_answer.len(), lag.events.div_ceil(10));
        assert!(lag.from_send.millis_at(0.5) >= lag.from_answer.millis_at(0.5));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_read_model_without_what_was_appended_is_an_error() {
        let models: [Arc<dyn Models>; 1] = [Arc::new(Fake { rows: 0 })];
        let parameters = Parameters { rate: 500, seconds: 0.1, ..parameters() };
        let lag = lag(&memory(), &models, &ReadModel::accounts(), 1, &parameters).await;
        assert!(matches!(lag, Err(BenchError::Outcome(problem)) if problem.contains("is not in")));
    }
}
