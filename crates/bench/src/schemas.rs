//! Schemas under load: the versions of a schema that events of ten fields have, and how fast a registry is asked.
//!
//! What validating costs an append and what lifting costs a read is measured by [`append`](crate::append) and
//! [`read`](mod@crate::read), once without and once with these schemas, in the same run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::BenchError;
use crate::machine::Machine;
use crate::random::{EVENT_TYPES, Random};
use crate::report::{Latencies, Measured, Parameters, Stall, round};

/// The type of the events that have a schema: the one that every workload appends.
pub const EVENT_TYPE: &str = EVENT_TYPES[0];

/// A version of a schema, as it is registered.
#[derive(Clone, Copy, Debug)]
pub struct SchemaStep {
    /// The schema, in JSON Schema.
    pub text: &'static str,
    /// What lifts the version before.
    pub upcaster: Option<&'static str>,
}

/// What events of ten fields are, and two breaks of it, each with what lifts over it.
pub const VERSIONS: [SchemaStep; 3] = [
    SchemaStep { text: include_str!("schemas/v1.json"), upcaster: None },
    SchemaStep { text: include_str!("schemas/v2.json"), upcaster: Some(include_str!("schemas/to-2.json")) },
    SchemaStep { text: include_str!("schemas/v3.json"), upcaster: Some(include_str!("schemas/to-3.json")) },
];

/// A schema registry under load: one connection to it.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// Registers a version of a type's schema.
    async fn register(&self, event_type: &str, step: &SchemaStep) -> Result<(), BenchError>;

    /// Looks up the newest version of a type, as a serializer does. Gives the bytes of the answer.
    async fn look_up(&self, event_type: &str) -> Result<usize, BenchError>;

    /// Asks whether a schema could be registered for a type, as a build plugin does.
    async fn check(&self, event_type: &str, text: &str) -> Result<bool, BenchError>;
}

/// What is asked of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Look-ups.
    LookUp,
    /// Checks.
    Check,
}

/// The figures of one kind of question.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Answers a second.
    pub per_second: f64,
    /// Median latency of an answer.
    pub p50_ms: f64,
    /// The latency that 99 of 100 answers stay below.
    pub p99_ms: f64,
    /// The latency that 999 of 1,000 answers stay below.
    pub p999_ms: f64,
    /// The longest time without any answer.
    pub longest_stall_ms: f64,
    /// Answers counted.
    pub count: u64,
}

impl Figures {
    fn of(measured: &Measured) -> Figures {
        let latencies = &measured.latencies;
        Figures {
            per_second: round(latencies.len() as f64 / measured.elapsed.as_secs_f64().max(1e-9), 1),
            p50_ms: latencies.millis_at(0.5),
            p99_ms: latencies.millis_at(0.99),
            p999_ms: latencies.millis_at(0.999),
            longest_stall_ms: round(measured.longest_stall_ms, 3),
            count: latencies.len(),
        }
    }
}

/// A run as it is told.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Look-ups of the newest version of a type.
    pub lookups: Figures,
    /// Checks of a schema against the newest version of a type.
    pub checks: Figures,
    /// Types that have a schema.
    pub types: u32,
    /// Those who ask, each with one question on its way.
    pub askers: usize,
    /// The run's parameters.
    pub parameters: Parameters,
    /// The machine.
    pub machine: Machine,
}

impl Report {
    /// Puts a run and its circumstances together.
    pub fn new(
        lookups: &Measured,
        checks: &Measured,
        (types, askers): (u32, usize),
        parameters: Parameters,
        machine: Machine,
    ) -> Report {
        let (lookups, checks) = (Figures::of(lookups), Figures::of(checks));
        Report { lookups, checks, types, askers, parameters, machine }
    }
}

/// The name of the `number`th type that has a schema.
pub fn type_name(number: u64) -> String {
    format!("OrderPlaced{number:05}")
}

/// Registers a schema for so many types.
///
/// # Errors
/// [`BenchError`] where one is refused.
pub async fn fill(registry: &dyn Registry, types: u32) -> Result<(), BenchError> {
    for number in 0..types {
        registry.register(&type_name(number.into()), &VERSIONS[0]).await?;
    }
    Ok(())
}

/// Asks about random types, one question after the other on each connection. The warm-up is left out.
///
/// # Errors
/// [`BenchError`] where there is nobody to ask, or a question is not answered, or not as it must be.
pub async fn ask(
    registries: &[Arc<dyn Registry>],
    question: Question,
    types: u32,
    parameters: &Parameters,
) -> Result<Measured, BenchError> {
    if registries.is_empty() || types == 0 {
        return Err(BenchError::Usage("--connections and --types must be at least 1".to_owned()));
    }
    let measure_from = Instant::now() + Duration::from_secs_f64(parameters.warm_up_seconds);
    let until = measure_from + Duration::from_secs_f64(parameters.seconds);
    let stall = Arc::new(Stall::default());
    let mut askers = JoinSet::new();
    for (number, registry) in registries.iter().enumerate() {
        let mut random = Random::new(parameters.seed.wrapping_add((number as u64 + 1).wrapping_mul(0x5851_F42D)));
        let (registry, stall) = (Arc::clone(registry), Arc::clone(&stall));
        askers.spawn(async move {
            let mut latencies = Latencies::default();
            loop {
                let event_type = type_name(random.below(types.into()));
                let sent = Instant::now();
                if sent >= until {
                    return Ok::<_, BenchError>(latencies);
                }
                one(&*registry, question, &event_type).await?;
                let now = Instant::now();
                if sent >= measure_from && now <= until {
                    stall.answered(now);
                    latencies.record(now - sent);
                }
            }
        });
    }
    let mut measured = Measured { elapsed: until - measure_from, ..Measured::default() };
    while let Some(asker) = askers.join_next().await {
        let latencies = asker.map_err(|error| BenchError::Child(format!("an asker ended early: {error}")))??;
        measured.latencies.merge(&latencies);
    }
    measured.events = measured.latencies.len();
    measured.longest_stall_ms = stall.take_millis();
    Ok(measured)
}

/// One question, whose answer is looked at: a wrong one must not count as a fast one.
async fn one(registry: &dyn Registry, question: Question, event_type: &str) -> Result<(), BenchError> {
    let is_right = match question {
        Question::LookUp => registry.look_up(event_type).await? > VERSIONS[0].text.len(),
        Question::Check => !registry.check(event_type, VERSIONS[1].text).await?,
    };
    match is_right {
        true => Ok(()),
        false => Err(BenchError::Outcome(format!("the registry gave a wrong answer about {event_type}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Fake {
        registered: AtomicU32,
    }

    #[async_trait]
    impl Registry for Fake {
        async fn register(&self, _event_type: &str, _step: &SchemaStep) -> Result<(), BenchError> {
            self.registered.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        async fn look_up(&self, _event_type: &str) -> Result<usize, BenchError> {
            tokio::task::yield_now().await;
            Ok(VERSIONS[0].text.len() + 1)
        }

        async fn check(&self, _event_type: &str, _text: &str) -> Result<bool, BenchError> {
            Ok(true)
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn answers_are_counted_and_wrong_ones_end_the_run() {
        let fake = Arc::new(Fake::default());
        fill(&*fake, 3).await.unwrap();
        assert_eq!(fake.registered.load(Ordering::Relaxed), 3);
        let registries: Vec<Arc<dyn Registry>> = vec![Arc::clone(&fake) as _, fake];
        let parameters = Parameters { seconds: 0.1, ..Parameters::default() };
        let measured = ask(&registries, Question::LookUp, 3, &parameters).await.unwrap();
        assert!(measured.events > 0);
        let wrong = ask(&registries, Question::Check, 3, &parameters).await;
        assert!(matches!(wrong, Err(BenchError::Outcome(_))), "a break that is compatible is no answer");
        assert!(ask(&[], Question::LookUp, 3, &parameters).await.is_err());
    }

    #[test]
    fn the_versions_are_json() {
        for SchemaStep { text, upcaster } in VERSIONS {
            let schema: serde_json::Value = serde_json::from_str(text).unwrap();
            assert!(schema["properties"].as_object().unwrap().len() >= 10);
            if let Some(upcaster) = upcaster {
                assert!(serde_json::from_str::<serde_json::Value>(upcaster).unwrap()["steps"].is_array());
            }
        }
    }
}
