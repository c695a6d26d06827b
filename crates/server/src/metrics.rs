//! What `/metrics` shows, in the OpenMetrics text format that Prometheus reads.

mod projections;

use std::sync::{Arc, Mutex, PoisonError};

use pacioli_core::Checkpoint;
use pacioli_core::store::{Bus, Measure};
use pacioli_projection::service::Status;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::schemas::Registry as Schemas;
use projections::Projections;

/// The media type of the text.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds, from what memory takes to what nobody waits for.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Everything that is counted.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) appends: Family<AppendLabel, Counter>,
    pub(crate) events_appended: Counter,
    pub(crate) events_large: Counter,
    pub(crate) append_timeouts: Counter,
    pub(crate) append_seconds: Histogram,
    pub(crate) appends_in_flight: Gauge,
    pub(crate) reads: Family<ReadLabel, Counter>,
    pub(crate) subscriptions: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) connections_refused: Counter,
    pub(crate) requests: Family<RequestLabel, Counter>,
    pub(crate) request_seconds: Family<RouteLabel, Histogram>,
    head: Family<PartitionLabel, Gauge>,
    bus: Family<BusLabel, Gauge>,
    pub(crate) queries: Family<QueryLabel, Counter>,
    pub(crate) query_seconds: Family<QueryLabel, Histogram>,
    measured: Arc<Measured>,
    projections: Arc<Projections>,
}

/// What the engine counted when it was last asked.
#[derive(Debug, Default)]
struct Measured(Mutex<Vec<Measure>>);

impl Collector for Measured {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        for measure in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let metric = encoder.encode_descriptor(measure.name, measure.help, None, ConstGauge::<f64>::TYPE)?;
            ConstGauge::new(measure.value).encode(metric)?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AppendLabel {
    pub(crate) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReadLabel {
    pub(crate) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabel {
    pub(crate) method: &'static str,
    pub(crate) route: &'static str,
    pub(crate) status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RouteLabel {
    pub(crate) route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct QueryLabel {
    pub(crate) kind: &'static str,
    pub(crate) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BusLabel {
    way: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabel {
    partition: u16,
}

impl Metrics {
    pub(crate) fn new(schemas: Option<&Schemas>) -> Metrics {
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let mut metrics = Metrics {
            registry: Registry::with_prefix("pacioli"),
            appends: Family::default(),
            events_appended: Counter::default(),
            events_large: Counter::default(),
            append_timeouts: Counter::default(),
            append_seconds: histogram(),
            appends_in_flight: Gauge::default(),
            reads: Family::default(),
            subscriptions: Gauge::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(histogram),
            head: Family::default(),
            bus: Family::default(),
            queries: Family::default(),
            query_seconds: Family::new_with_constructor(histogram),
            measured: Arc::default(),
            projections: Arc::default(),
        };
        let registry = &mut metrics.registry;
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running program", build);
        registry.register("appends", "Appends by what became of them", metrics.appends.clone());
        registry.register("events_appended", "Events that were appended", metrics.events_appended.clone());
        registry.register(
            "events_large",
            "Events that were appended with more than 8 KiB of data, which is a sign of a whole row in an event",
            metrics.events_large.clone(),
        );
        registry.register_with_unit(
            "append_duration",
            "From an append's arrival at the store to its answer",
            Unit::Seconds,
            metrics.append_seconds.clone(),
        );
        registry.register(
            "appends_in_flight",
            "Appends that wait for their answer now, queued or being written",
            metrics.appends_in_flight.clone(),
        );
        registry.register(
            "append_timeouts",
            "Appends whose callers were told that the outcome is unknown, because the store had not answered in time",
            metrics.append_timeouts.clone(),
        );
        registry.register("reads", "Reads by what was read", metrics.reads.clone());
        registry.register("subscriptions", "Live subscriptions now", metrics.subscriptions.clone());
        registry.register("connections", "Open connections now", metrics.connections.clone());
        registry.register(
            "connections_refused",
            "Connections that were closed at once because there were too many",
            metrics.connections_refused.clone(),
        );
        registry.register("requests", "Requests by method, route and HTTP status", metrics.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "From a request's arrival to the beginning of its answer",
            Unit::Seconds,
            metrics.request_seconds.clone(),
        );
        registry.register("head_position", "The last committed position of each partition", metrics.head.clone());
        registry.register("bus", "1 at the way that the events of other writers come by now", metrics.bus.clone());
        registry.register(
            "queries",
            "Questions to read models and in SQL, by what was asked and what came of it",
            metrics.queries.clone(),
        );
        registry.register_with_unit(
            "query_duration",
            "From a question's arrival to its answer, the wait for a projection included",
            Unit::Seconds,
            metrics.query_seconds.clone(),
        );
        registry.register_collector(Box::new(Arc::clone(&metrics.measured)));
        registry.register_collector(Box::new(Arc::clone(&metrics.projections)));
        if let Some(schemas) = schemas {
            registry.register_collector(Box::new(schemas.skips()));
            registry.register_collector(Box::new(schemas.let_pass()));
        }
        metrics
    }

    /// All of it as text, with the head, the bus, the engine's own figures and the projections as they are now.
    pub(crate) fn text(
        &self,
        head: Option<&Checkpoint>,
        bus: &Bus,
        measures: Vec<Measure>,
        projections: Vec<Status>,
    ) -> String {
        for way in [Bus::Memory, Bus::Slot, Bus::Polling { why: String::new() }].map(|bus| bus.word()) {
            self.bus.get_or_create(&BusLabel { way }).set(i64::from(way == bus.word()));
        }
        *self.measured.0.lock().unwrap_or_else(PoisonError::into_inner) = measures;
        self.projections.set(projections);
        for place in head.into_iter().flat_map(Checkpoint::iter) {
            let position = i64::try_from(place.position.0).unwrap_or(i64::MAX);
            self.head.get_or_create(&PartitionLabel { partition: place.partition.0 }).set(position);
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bus_and_what_an_engine_counts_are_shown() {
        let metrics = Metrics::new(None);
        let measure = Measure { name: "postgres_epoch", help: "The current epoch", value: 2.0 };
        let text = metrics.text(None, &Bus::Slot, vec![measure], Vec::new());
        for line in [
            "pacioli_bus{way=\"slot\"} 1",
            "pacioli_bus{way=\"polling\"} 0",
            "# TYPE pacioli_postgres_epoch gauge",
            "pacioli_postgres_epoch 2.0",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
        }
        let text = metrics.text(None, &Bus::Polling { why: "x".to_owned() }, Vec::new(), Vec::new());
        assert!(text.contains("pacioli_bus{way=\"slot\"} 0") && !text.contains("postgres_epoch"), "{text}");
    }
}
