//! The grow workload: appends until the log has a given size, and says at each step how fast it still goes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde::Serialize;

use crate::append::{Run, Until, drive};
use crate::report::{Parameters, round};
use crate::{BenchError, Connections};

/// One step of the growth.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Events in the log at the end of the step.
    pub events: u64,
    /// Events a second during the step.
    pub events_per_second: f64,
    /// The longest time without any answer during the step.
    pub longest_stall_ms: f64,
    /// The p99 of an append during the step.
    pub p99_ms: f64,
    /// Bytes on disk at the end of the step; null where the files are not at hand.
    pub disk_bytes: Option<u64>,
    /// Memory of the server (or of this process) at the end of the step.
    pub resident_bytes: Option<u64>,
}

/// What the end of a growth showed.
#[derive(Clone, Debug, Serialize)]
pub struct Grown {
    /// Events in the log.
    pub events: u64,
    /// The last step's rate divided by the first one's.
    pub last_to_first: f64,
    /// The longest stall of all steps.
    pub longest_stall_ms: f64,
    /// Bytes on disk an event beyond its payload.
    pub overhead_bytes_per_event: Option<f64>,
    /// What takes room on disk, by part, the largest first; only where the store's tables are at hand.
    pub disk_parts: Vec<DiskPart>,
    /// Memory of the server (or of this process) before the restart.
    pub resident_bytes: Option<u64>,
    /// Seconds from the start after kill -9 (in process: after a close) until the store answers.
    pub restart_ready_seconds: Option<f64>,
    /// The run's parameters.
    pub parameters: Parameters,
}

/// A heap or an index.
#[derive(Clone, Debug, Serialize)]
pub struct DiskPart {
    /// What it is.
    pub part: String,
    /// What it takes.
    pub bytes: u64,
}

/// Appends `step` events, of which the log then has `total`. What it takes on disk and in memory is the caller's to add.
///
/// # Errors
/// [`BenchError`] where a parameter makes no sense or an append is not taken.
pub async fn step(
    connections: &Connections,
    parameters: &Parameters,
    step: u64,
    total: u64,
) -> Result<Step, BenchError> {
    let began = Instant::now();
    let run = Arc::new(Run::new(Until::Events(step), began));
    // Ids and streams of one step must not be those of another.
    let parameters = Parameters { seed: parameters.seed.wrapping_add(total), ..parameters.clone() };
    let measured = drive(connections, &parameters, &run).await?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Step {
        events: total,
        events_per_second: round(run.events.load(Ordering::Relaxed) as f64 / seconds.max(1e-9), 1),
        longest_stall_ms: round(measured.longest_stall_ms, 3),
        p99_ms: measured.latencies.millis_at(0.99),
        disk_bytes: None,
        resident_bytes: None,
    })
}

/// Puts the steps of a growth together.
pub fn grown(steps: &[Step], restart_ready_seconds: Option<f64>, parameters: Parameters) -> Grown {
    let (first, last) = (steps.first(), steps.last());
    let ratio = first.zip(last).map_or(0.0, |(first, last)| last.events_per_second / first.events_per_second.max(1e-9));
    let overhead = last.and_then(|last| {
        let bytes = last.disk_bytes? as f64 / last.events.max(1) as f64;
        Some(round(bytes - parameters.payload_bytes as f64, 1))
    });
    Grown {
        events: last.map_or(0, |last| last.events),
        last_to_first: round(ratio, 3),
        longest_stall_ms: steps.iter().map(|step| step.longest_stall_ms).fold(0.0, f64::max),
        overhead_bytes_per_event: overhead,
        disk_parts: Vec::new(),
        resident_bytes: last.and_then(|last| last.resident_bytes),
        restart_ready_seconds: restart_ready_seconds.map(|seconds| round(seconds, 3)),
        parameters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::append::tests::{memory, parameters};

    #[tokio::test(flavor = "multi_thread")]
    async fn the_log_grows_by_what_was_asked_for() {
        let store = memory();
        let mut steps = Vec::new();
        for total in [500, 1_000] {
            let step = step(&store, &parameters(), 500, total).await.unwrap();
            steps.push(Step { disk_bytes: Some(total * 300), ..step });
        }
        assert_eq!(store[0].head().await.unwrap().to_string(), "0:1000");
        let grown = grown(&steps, Some(0.5), parameters());
        assert_eq!(grown.events, 1_000);
        assert_eq!(grown.overhead_bytes_per_event, Some(200.0));
    }
}
