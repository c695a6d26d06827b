//! How the projections are, as gauges: those there are when somebody looks, and no series of those that are gone.

use std::sync::{Mutex, PoisonError};

use pacioli_projection::service::Status;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

/// The words of [`Status::state`].
const STATES: [&str; 4] = ["running", "rebuilding", "paused", "failed"];

/// The projections as they were when they were last asked.
#[derive(Debug, Default)]
pub(super) struct Projections(Mutex<Vec<Status>>);

type Labels = Vec<(&'static str, String)>;

impl Projections {
    pub(super) fn set(&self, statuses: Vec<Status>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = statuses;
    }
}

impl Collector for Projections {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let statuses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if statuses.is_empty() {
            return Ok(());
        }
        let mut gauge = |name: &str, help: &str, values: &dyn Fn(&Status) -> Vec<(Labels, f64)>| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for status in &*statuses {
                for (labels, value) in values(status) {
                    let labels: Labels = [vec![("projection", status.name.clone())], labels].concat();
                    ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
                }
            }
            Ok::<(), std::fmt::Error>(())
        };
        let one = |value: f64| vec![(Labels::new(), value)];
        let maybe = |value: Option<f64>| value.map(|value| (Labels::new(), value)).into_iter().collect::<Vec<_>>();
        gauge("projection_state", "1 at the state that the projection is in", &|status| {
            let others = (!STATES.contains(&status.state)).then_some(status.state);
            let states = STATES.into_iter().chain(others);
            states.map(|state| (vec![("state", state.to_owned())], f64::from(state == status.state))).collect()
        })?;
        gauge("projection_version", "The version that serves", &|status| maybe(status.version.map(f64::from)))?;
        gauge("projection_building_version", "The version that is being filled", &|status| {
            maybe(status.building.map(f64::from))
        })?;
        gauge("projection_checkpoint_position", "Where the build that serves stands in each partition", &|status| {
            positions(&status.checkpoint)
        })?;
        gauge(
            "projection_head_position",
            "The head of each partition, as the projection's lag is measured",
            &|status| positions(&status.head),
        )?;
        gauge("projection_lag_events", "How many events the build that serves is behind the head", &|status| {
            one(status.lag_events as f64)
        })?;
        gauge("projection_lag_seconds", "How old the oldest event is that it has not looked at", &|status| {
            one(status.lag_seconds)
        })?;
        gauge(
            "projection_events_per_second",
            "Events it applies in a second",
            &|status| one(status.events_per_second),
        )?;
        gauge("projection_eta_seconds", "When it will be at the head at this rate", &|status| {
            maybe(status.eta_seconds)
        })?;
        gauge(
            "projection_progress_ratio",
            "How much of the log the build that is being filled has taken",
            &|status| maybe(status.progress),
        )?;
        gauge("projection_failed", "1 while it stands at an event that it failed on", &|status| {
            one(f64::from(status.error.is_some()))
        })?;
        gauge("projection_failed_position", "The event that it failed on", &|status| {
            status
                .error
                .iter()
                .flat_map(|error| positions(&error.place))
                .filter(|(_, position)| *position > 0.0)
                .collect()
        })?;
        gauge(
            "projection_passed_over",
            "Events that the build passed over since it began, because it does not understand their versions, by type",
            &|status| {
                let by_type = |(of_type, events): (&String, &u64)| (vec![("type", of_type.clone())], *events as f64);
                status.passed_over.iter().map(by_type).collect()
            },
        )?;
        gauge("projection_stalled_seconds", "How long it has not moved though it is behind", &|status| {
            one(status.stalled_seconds)
        })?;
        gauge("projection_drifted_rows", "Rows that differed from a fresh fold at the last check", &|status| {
            maybe(status.verified.as_ref().map(|verified| verified.different as f64))
        })?;
        gauge("projection_store_errors", "How often the storage failed while this server ran it", &|status| {
            one(status.store_errors as f64)
        })?;
        gauge("projection_stalled", "1 while it is behind and has not moved for longer than it may", &|status| {
            one(f64::from(status.stalled))
        })
    }
}

/// `0:12,1:9` as a value a partition.
fn positions(checkpoint: &str) -> Vec<(Labels, f64)> {
    let places = checkpoint.split('@').next().unwrap_or("").split(',');
    let place = |place: &str| {
        let (partition, position) = place.split_once(':')?;
        Some((vec![("partition", partition.to_owned())], position.parse().ok()?))
    };
    places.filter_map(place).collect()
}
