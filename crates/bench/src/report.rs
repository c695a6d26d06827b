//! What a workload measured ([`Measured`]) and how it is told ([`Report`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::machine::Machine;

/// Latencies from 1 microsecond to 10 minutes, three significant digits.
const LATENCY_MICROS_MAX: u64 = 600_000_000;

/// Latencies in microseconds.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Latencies(Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3).expect("the bounds are those of the crate"))
    }
}

impl Latencies {
    /// Takes one latency in.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record((latency.as_micros() as u64).max(1));
    }

    /// Takes all latencies of `other` in.
    pub fn merge(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The latency in milliseconds that `quantile` (0 to 1) of them stay below; 0 where there are none.
    pub fn millis_at(&self, quantile: f64) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.value_at_quantile(quantile) as f64 / 1_000.0 }
    }
}

/// The longest time between two answers, whoever got them.
#[derive(Debug)]
pub struct Stall {
    began: Instant,
    last_nanos: AtomicU64,
    longest_nanos: AtomicU64,
}

impl Default for Stall {
    fn default() -> Self {
        Stall { began: Instant::now(), last_nanos: AtomicU64::new(0), longest_nanos: AtomicU64::new(0) }
    }
}

impl Stall {
    /// Says that an answer came now.
    pub fn answered(&self, now: Instant) {
        let nanos = now.duration_since(self.began).as_nanos() as u64;
        let last = self.last_nanos.fetch_max(nanos, Ordering::Relaxed);
        if last > 0 {
            self.longest_nanos.fetch_max(nanos.saturating_sub(last), Ordering::Relaxed);
        }
    }

    /// The longest so far in milliseconds; begins anew.
    pub fn take_millis(&self) -> f64 {
        self.longest_nanos.swap(0, Ordering::Relaxed) as f64 / 1e6
    }
}

/// What one run of a workload gave.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Events that were acknowledged or delivered within the measured time.
    pub events: u64,
    /// The measured time.
    pub elapsed: Duration,
    /// One latency an operation (an append, a page, a delivered event).
    pub latencies: Latencies,
    /// The longest time without any answer, in milliseconds.
    pub longest_stall_ms: f64,
    /// How often the store asked to come back later.
    pub overloaded: u64,
}

impl Measured {
    /// Events a second.
    pub fn events_per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.events as f64 / seconds } else { 0.0 }
    }
}

/// The parameters of a run, all of them, so that a figure can be repeated.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Parameters {
    /// What was done, by the name of the command.
    pub workload: &'static str,
    /// Where the events went: a store's URL, a server's, or "a server of its own".
    pub target: String,
    /// `in process` or `grpc`.
    pub transport: &'static str,
    /// Concurrent writers.
    pub writers: usize,
    /// Appends that each writer keeps in flight.
    pub in_flight: usize,
    /// Events of one append.
    pub batch: usize,
    /// Streams the events go to.
    pub streams: u64,
    /// Types that the events have, about as many events of each.
    pub event_types: usize,
    /// Bytes of an event's data.
    pub payload_bytes: usize,
    /// Whether that has the ten fields of [`crate::schemas::VERSIONS`], and not two.
    pub ten_fields: bool,
    /// Network connections; 0 in process.
    pub connections: usize,
    /// Measured seconds; 0 where the count of events decides.
    pub seconds: f64,
    /// Seconds of warm-up before them.
    pub warm_up_seconds: f64,
    /// Events a second asked for; 0 is as fast as it goes.
    pub rate: u64,
    /// Clients that ran transactions of their own beside the run.
    pub user_transactions: usize,
    /// Whether another process or handle appended than the one that the subscriber is on.
    pub from_other: bool,
    /// Events to read or to grow to; 0 where time decides.
    pub events: u64,
    /// Seed of the streams, ids and payloads.
    pub seed: u64,
}

/// A run as it is told.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Events a second that were acknowledged, read or delivered.
    pub events_per_second: f64,
    /// Operations a second: appends, pages or deliveries.
    pub operations_per_second: f64,
    /// Median latency of an operation.
    pub p50_ms: f64,
    /// The latency that 99 of 100 operations stay below.
    pub p99_ms: f64,
    /// The latency that 999 of 1,000 operations stay below.
    pub p999_ms: f64,
    /// The longest time without any answer.
    pub longest_stall_ms: f64,
    /// The same run against the floor; null where there is none for the workload or it was left out.
    pub floor_events_per_second: Option<f64>,
    /// The floor's p99.
    pub floor_p99_ms: Option<f64>,
    /// `events_per_second` divided by `floor_events_per_second`.
    pub ratio_to_floor: Option<f64>,
    /// The same run against raw COPY of the same rows; null where the store is on no PostgreSQL or it was left out.
    pub copy_events_per_second: Option<f64>,
    /// Raw COPY's p99.
    pub copy_p99_ms: Option<f64>,
    /// `events_per_second` divided by `copy_events_per_second`.
    pub ratio_to_copy: Option<f64>,
    /// The same run beside a projection that the appends run themselves (`mode: sync`); null where it was not asked for.
    pub sync_events_per_second: Option<f64>,
    /// The p99 of an append that runs it.
    pub sync_p99_ms: Option<f64>,
    /// `sync_events_per_second` divided by `events_per_second`.
    pub ratio_with_sync: Option<f64>,
    /// The same run once the events have a schema of ten fields that each is held against; null where it was not asked for.
    pub schema_events_per_second: Option<f64>,
    /// The p99 of an append then.
    pub schema_p99_ms: Option<f64>,
    /// `schema_events_per_second` divided by `events_per_second`.
    pub ratio_with_schema: Option<f64>,
    /// The same events read as they were stored, where the run lifted them over two versions; null where it did not.
    pub raw_events_per_second: Option<f64>,
    /// `events_per_second` divided by `raw_events_per_second`.
    pub ratio_to_raw: Option<f64>,
    /// Transactions a second of the clients beside the run; null where there were none.
    pub user_transactions_per_second: Option<f64>,
    /// Their p99, from BEGIN to the answer to COMMIT.
    pub user_transaction_p99_ms: Option<f64>,
    /// Events counted.
    pub events: u64,
    /// How often the store asked to come back later.
    pub overloaded: u64,
    /// The run's parameters.
    pub parameters: Parameters,
    /// The machine.
    pub machine: Machine,
}

impl Report {
    /// Puts a run, its floor and its circumstances together.
    pub fn new(measured: &Measured, floor: Option<&Measured>, parameters: Parameters, machine: Machine) -> Report {
        let seconds = measured.elapsed.as_secs_f64();
        let floor_rate = floor.map(Measured::events_per_second).filter(|rate| *rate > 0.0);
        Report {
            events_per_second: round(measured.events_per_second(), 1),
            operations_per_second: round(
                if seconds > 0.0 { measured.latencies.len() as f64 / seconds } else { 0.0 },
                1,
            ),
            p50_ms: measured.latencies.millis_at(0.5),
            p99_ms: measured.latencies.millis_at(0.99),
            p999_ms: measured.latencies.millis_at(0.999),
            longest_stall_ms: round(measured.longest_stall_ms, 3),
            floor_events_per_second: floor_rate.map(|rate| round(rate, 1)),
            floor_p99_ms: floor.map(|floor| floor.latencies.millis_at(0.99)),
            ratio_to_floor: floor_rate.map(|rate| round(measured.events_per_second() / rate, 3)),
            copy_events_per_second: None,
            copy_p99_ms: None,
            ratio_to_copy: None,
            sync_events_per_second: None,
            sync_p99_ms: None,
            ratio_with_sync: None,
            schema_events_per_second: None,
            schema_p99_ms: None,
            ratio_with_schema: None,
            raw_events_per_second: None,
            ratio_to_raw: None,
            user_transactions_per_second: None,
            user_transaction_p99_ms: None,
            events: measured.events,
            overloaded: measured.overloaded,
            parameters,
            machine,
        }
    }
}

impl Report {
    /// Adds the same run against raw COPY.
    #[must_use]
    pub fn with_copy(mut self, copy: &Measured) -> Report {
        let rate = copy.events_per_second();
        self.copy_events_per_second = Some(round(rate, 1));
        self.copy_p99_ms = Some(copy.latencies.millis_at(0.99));
        self.ratio_to_copy = (rate > 0.0).then(|| round(self.events_per_second / rate, 3));
        self
    }

    /// Adds the same run with a projection in each append's transaction.
    #[must_use]
    pub fn with_sync(mut self, sync: &Measured) -> Report {
        let rate = sync.events_per_second();
        self.sync_events_per_second = Some(round(rate, 1));
        self.sync_p99_ms = Some(sync.latencies.millis_at(0.99));
        self.ratio_with_sync = (self.events_per_second > 0.0).then(|| round(rate / self.events_per_second, 3));
        self
    }

    /// Adds the same run with events that are held against a schema.
    #[must_use]
    pub fn with_schema(mut self, schema: &Measured) -> Report {
        let rate = schema.events_per_second();
        self.schema_events_per_second = Some(round(rate, 1));
        self.schema_p99_ms = Some(schema.latencies.millis_at(0.99));
        self.ratio_with_schema = (self.events_per_second > 0.0).then(|| round(rate / self.events_per_second, 3));
        self
    }

    /// Adds the same read of events as they were stored.
    #[must_use]
    pub fn with_raw(mut self, raw: &Measured) -> Report {
        let rate = raw.events_per_second();
        self.raw_events_per_second = Some(round(rate, 1));
        self.ratio_to_raw = (rate > 0.0).then(|| round(self.events_per_second / rate, 3));
        self
    }

    /// Adds what clients did beside the run, in transactions of their own: one latency each.
    #[must_use]
    pub fn with_user_transactions(mut self, latencies: &Latencies, elapsed: Duration) -> Report {
        let seconds = elapsed.as_secs_f64().max(1e-9);
        self.user_transactions_per_second = Some(round(latencies.len() as f64 / seconds, 1));
        self.user_transaction_p99_ms = Some(latencies.millis_at(0.99));
        self
    }
}

/// `value` with so many decimals.
pub(crate) fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_to_the_floor_of_the_same_run() {
        let run = |events| Measured { events, elapsed: Duration::from_secs(2), ..Measured::default() };
        let report = Report::new(&run(300), Some(&run(400)), Parameters::default(), Machine::default());
        assert_eq!(report.events_per_second, 150.0);
        assert_eq!(report.floor_events_per_second, Some(200.0));
        assert_eq!(report.ratio_to_floor, Some(0.75));
        let report = Report::new(&run(300), None, Parameters::default(), Machine::default());
        assert_eq!((report.ratio_to_floor, report.ratio_to_copy), (None, None));
        let report = report.with_copy(&run(600));
        assert_eq!((report.copy_events_per_second, report.ratio_to_copy), (Some(300.0), Some(0.5)));
        let report = report.with_sync(&run(150));
        assert_eq!((report.sync_events_per_second, report.ratio_with_sync), (Some(75.0), Some(0.5)));
        let report = report.with_schema(&run(270)).with_raw(&run(400));
        assert_eq!((report.ratio_with_schema, report.ratio_to_raw), (Some(0.9), Some(0.75)));
    }

    #[test]
    fn the_longest_stall_is_between_two_answers() {
        let stall = Stall::default();
        let at = |millis| stall.began + Duration::from_millis(millis);
        for millis in [500, 510, 560, 561] {
            stall.answered(at(millis));
        }
        assert!((stall.take_millis() - 50.0).abs() < 0.1);
        assert_eq!(stall.take_millis(), 0.0);
    }
}
