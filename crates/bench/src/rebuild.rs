//! The rebuild workload: a projection is folded anew from the start of the log to its head, by the runner, and beside it
//! in small batches and event by event.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pacioli_core::EventStore;
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{Build, Engine, EngineError, QueryLimits, Role, State};
use pacioli_projection::file::Name;
use pacioli_projection::service::{Ask, CommandError};
use pacioli_projection::{ReadModels, ReadModelsOptions};
use serde::Serialize;

use crate::BenchError;
use crate::machine::Machine;
use crate::models::{Models, PATIENCE, ReadModel};
use crate::report::{Parameters, round};

/// Events of one transaction in the first baseline, and events that it takes at most.
const SMALL_BATCH: (usize, u64) = (500, 200_000);
/// The same for one event a transaction, which is what takes longest.
const EVENT_BY_EVENT: (usize, u64) = (1, 20_000);

/// How a projection is folded anew.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The projection.
    pub model: ReadModel,
    /// Workers that share its streams.
    pub workers: u16,
    /// Events of one transaction at most.
    pub batch_max: usize,
    /// Stop after so many events; `None` is at the head, where the new tables serve.
    pub events_max: Option<u64>,
}

/// What one rebuild did.
#[derive(Clone, Copy, Debug)]
pub struct Folded {
    /// Events that were applied.
    pub events: u64,
    /// From before the command until they were seen to be; for a whole rebuild, until the new tables serve and are at the
    /// head.
    pub elapsed: Duration,
}

impl Folded {
    /// Events a second.
    pub fn events_per_second(&self) -> f64 {
        self.events as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// A rebuild and its baselines, as they are told.
#[derive(Clone, Debug, Serialize)]
pub struct Rebuilt {
    /// How events become rows: `set-based` or `per event`, and what is kept.
    pub what: &'static str,
    /// The projection.
    pub projection: String,
    /// Events that were applied.
    pub events: u64,
    /// Seconds from the command until the new tables served and were at the head.
    pub seconds: f64,
    /// Events a second.
    pub events_per_second: f64,
    /// The same in batches of 500, over 200,000 events at most; null where it was left out.
    pub batches_of_500_per_second: Option<f64>,
    /// The same with one event a transaction, over 20,000 events at most.
    pub one_event_per_second: Option<f64>,
    /// Batches of 500 against one event a transaction.
    pub ratio_of_500: Option<f64>,
    /// The rebuild against one event a transaction.
    pub ratio_to_one_event: Option<f64>,
}

/// All rebuilds of a run, as they are told.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// One for each projection.
    pub rebuilds: Vec<Rebuilt>,
    /// Events of one transaction at most.
    pub batch_max: usize,
    /// Workers that share a projection's streams.
    pub workers: u16,
    /// The run's parameters.
    pub parameters: Parameters,
    /// The machine.
    pub machine: Machine,
}

/// What rebuilds are measured on: a store whose log is filled and that has no projections, and its engine.
pub struct Bench {
    /// Keeps the tables.
    pub engine: Arc<dyn Engine>,
    /// The log.
    pub store: Arc<dyn EventStore>,
}

impl Bench {
    /// Refuses a store that has projections: they would run beside, and one of the same name is not ours to drop.
    ///
    /// # Errors
    /// [`BenchError::Usage`]
    pub async fn check_empty(&self) -> Result<(), BenchError> {
        let builds = self.engine.builds().await?;
        match builds.first() {
            None => Ok(()),
            Some(build) => Err(BenchError::Usage(format!(
                "the store has projections, like `{}`; measure one that has none, or drop them first with \
                 `pacioli projection drop NAME --all`",
                build.projection.name
            ))),
        }
    }

    /// Measures one projection, and unless they are left out its baselines.
    ///
    /// # Errors
    /// [`BenchError`] where it fails or does not hold every event afterwards.
    pub async fn measure(&self, what: &'static str, plan: Plan, baselines: bool) -> Result<Rebuilt, BenchError> {
        let mut at_batches = [None, None];
        if baselines {
            for (rate, (batch_max, events_max)) in at_batches.iter_mut().zip([SMALL_BATCH, EVENT_BY_EVENT]) {
                let plan = Plan { batch_max, events_max: Some(events_max), workers: 1, ..plan.clone() };
                *rate = Some(self.fold(&plan).await?.events_per_second());
            }
        }
        let folded = self.fold(&plan).await?;
        let [of_500, of_one] = at_batches;
        let rate = folded.events_per_second();
        let ratio = |rate: Option<f64>| Some(round(rate? / of_one?, 2));
        Ok(Rebuilt {
            what,
            projection: plan.model.name,
            events: folded.events,
            seconds: round(folded.elapsed.as_secs_f64(), 3),
            events_per_second: round(rate, 1),
            batches_of_500_per_second: of_500.map(|rate| round(rate, 1)),
            one_event_per_second: of_one.map(|rate| round(rate, 1)),
            ratio_of_500: ratio(of_500),
            ratio_to_one_event: ratio(Some(rate)),
        })
    }

    /// Registers the projection, folds it anew, and drops it.
    ///
    /// # Errors
    /// As [`Bench::measure`].
    pub async fn fold(&self, plan: &Plan) -> Result<Folded, BenchError> {
        let options = ReadModelsOptions { batch_max: plan.batch_max, ..ReadModelsOptions::default() };
        let models = ReadModels::start(Arc::clone(&self.engine), Arc::clone(&self.store), options).await?;
        let folded = self.fold_with(&models, plan).await;
        let removed = models.remove(&plan.model).await;
        models.stop().await;
        folded.and_then(|folded| removed.map(|()| folded))
    }

    async fn fold_with(&self, models: &ReadModels, plan: &Plan) -> Result<Folded, BenchError> {
        let name = models.add(&plan.model.file(), &plan.model.text, None).await?.name;
        // The first build serves from the beginning and would be filled beside the one that is measured.
        models.pause(&name, None).await?;
        let head = self.engine.head().await.map_err(EngineError::Store)?;
        let began = Instant::now();
        models.rebuild(&name, Some(plan.workers), None).await?;
        loop {
            let build = self.newest(&name).await?;
            let elapsed = began.elapsed();
            let events = build.progress.iter().map(|stands| stands.events).sum();
            if let State::Failed(failed) = &build.state {
                return Err(BenchError::Outcome(format!("`{name}` stopped at {}: {}", failed.place, failed.error)));
            }
            let folded = Folded { events, elapsed };
            // It comes to serve a little before it is at the head.
            if build.role == Role::Serving && build.checkpoint(&head).covers(&head) {
                self.check(models, plan, events).await?;
                return Ok(folded);
            }
            if plan.events_max.is_some_and(|max| events >= max) {
                return match models.cancel(&name, None).await {
                    // It came to the head just now, so there is nothing left to give up.
                    Ok(_) | Err(CommandError::State(_)) => Ok(folded),
                    Err(error) => Err(error.into()),
                };
            }
            // Often enough for a hundredth of what is measured, and no more: looking costs something too.
            tokio::time::sleep((elapsed / 100).clamp(Duration::from_millis(1), Duration::from_millis(100))).await;
        }
    }

    async fn newest(&self, name: &Name) -> Result<Build, BenchError> {
        let builds = self.engine.builds().await?;
        let newest = builds.into_iter().filter(|build| build.projection.name == *name).max_by_key(|build| build.number);
        newest.ok_or_else(|| BenchError::Outcome(format!("`{name}` was dropped by somebody else")))
    }

    /// A rate of events that are not in the rows would be no rate.
    async fn check(&self, models: &ReadModels, plan: &Plan, events: u64) -> Result<(), BenchError> {
        let (name, limits) = (&plan.model.name, QueryLimits { time_max: PATIENCE, ..QueryLimits::default() });
        if events == 0 {
            return Err(BenchError::Usage(format!(
                "the log has no events that `{name}` folds; measure a store that a benchmark filled"
            )));
        }
        let sql = plan.model.count_events();
        let ask = Ask { sql, as_of: None, at_least: None, deadline: PATIENCE, limits };
        let answer = models.query(ask).await?;
        match answer.rows.first().and_then(|row| row.first()) {
            Some(Value::Int(counted)) if *counted == events as i64 => Ok(()),
            other => Err(BenchError::Outcome(format!("`{name}` holds {other:?} and not {events} events"))),
        }
    }
}
