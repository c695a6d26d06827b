//! Questions: each may say "not before this checkpoint", and then waits for the projections it reads.

use std::sync::Arc;
use std::time::Duration;

use pacioli_core::place::Checkpoint;
use pacioli_core::store::Filter;
use pacioli_core::{Epoch, PayloadChoice, ReadError, ReadLog};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::catalogue::is_table;
use crate::engine::{EngineError, Lookup, Moment, Progress, Query, QueryError, QueryLimits, State, least};
use crate::file::{Mode, Name};

use super::{Ask, AskError, ReadModels, no_such_table};

/// How often the storage is asked where a projection is that another server runs.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The same where this one runs it and says at once when it moves: a hint may be lost, a real read never is.
const LOOK_EVERY_HERE: Duration = Duration::from_millis(250);
/// How much longer than its time an engine may take to give a query up.
const GRACE: Duration = Duration::from_secs(1);

impl ReadModels {
    /// Answers a question in SQL. With [`Ask::at_least`] it waits until every projection that the statement names has come
    /// there; a statement that names only `events` need not wait, since such a checkpoint is in the log already. With
    /// [`Ask::as_of`] the checkpoint only has to be in the log: the past is folded from that. A materialized view is as old
    /// as its last refresh, whatever its projection has come to.
    ///
    /// # Errors
    /// A projection did not come there in time; the checkpoint is not one of this log; as the engine says.
    pub async fn query(&self, ask: Ask) -> Result<Answer, AskError> {
        let deadline = Instant::now() + ask.deadline;
        let as_of = match ask.as_of {
            Some(moment) => Some(self.resolve_moment("as_of", moment, deadline).await?),
            None => None,
        };
        if let Some(at_least) = &ask.at_least {
            let at_least = self.resolve("at_least", at_least, deadline).await?;
            if as_of.is_none() {
                for name in self.shared().engine.named_by(&ask.sql).await? {
                    self.wait_for(&name, &at_least, deadline).await?;
                }
            }
        }
        let limits = within(ask.limits, deadline, ask.deadline)?;
        let query = Query { sql: ask.sql, as_of, limits };
        in_time(self.shared().engine.query(query), limits).await
    }

    /// Answers a point read. From memory only where this server runs the projection and nothing was committed to it since:
    /// where another one runs it, where appends do (`sync`), and for views, whose rows may change without a commit, every
    /// point read asks the storage. Where another server drops a projection, what is in memory of it is found for half a
    /// second more.
    ///
    /// # Errors
    /// There is no such table; the projection did not come to `at_least` in time; as the engine says.
    pub async fn lookup(
        &self,
        lookup: Lookup,
        at_least: Option<&Checkpoint>,
        deadline: Duration,
    ) -> Result<Arc<Answer>, AskError> {
        let (shared, time) = (self.shared(), deadline);
        let deadline = Instant::now() + time;
        let mut serving = shared.catalogue.latest().owner(&lookup.table).map(Arc::clone);
        if serving.is_none() {
            let builds = shared.catalogue.reload().await.map_err(ask_error)?;
            serving = builds.owner(&lookup.table).map(Arc::clone);
        }
        let serving = serving.ok_or_else(|| no_such_table(&lookup.table))?;
        let name = &serving.projection.name;
        let at_least = match at_least {
            Some(at_least) => Some(self.resolve("at_least", at_least, deadline).await?),
            None => None,
        };
        let track = shared.track(name);
        let may_keep = is_table(&serving, &lookup.table) && serving.projection.mode == Mode::Async;
        let rows = || {
            let head = shared.head.borrow();
            track.rows(head.partitions(), head.epoch()).filter(|_| may_keep)
        };
        // What is in memory is good for where this process knows the build to stand, and no further.
        let covers = |checkpoint: &Checkpoint| at_least.as_ref().is_none_or(|at_least| checkpoint.covers(at_least));
        if let Some((generation, checkpoint)) = rows()
            && covers(&checkpoint)
            && let Some(answer) = self.point_reads().get(&lookup, generation)
        {
            return Ok(answer);
        }
        if let Some(at_least) = &at_least {
            self.wait_for(name, at_least, deadline).await?;
        }
        // Before the read: rows that are committed while it reads make another generation.
        let generation = rows().map(|(generation, _)| generation);
        let limits = within(QueryLimits::default(), deadline, time)?;
        let answer = Arc::new(in_time(shared.engine.lookup(lookup.clone(), limits), limits).await?);
        if let Some(generation) = generation {
            self.point_reads().keep(lookup, generation, Arc::clone(&answer));
        }
        Ok(answer)
    }

    /// The moment in terms of the log as it is now.
    pub(super) async fn resolve_moment(
        &self,
        field: &'static str,
        moment: Moment,
        deadline: Instant,
    ) -> Result<Moment, AskError> {
        match moment {
            Moment::At(checkpoint) => Ok(Moment::At(self.resolve(field, &checkpoint, deadline).await?)),
            Moment::Recorded(_) | Moment::Occurred(_) => Ok(moment),
        }
    }

    /// Makes a checkpoint of the log as it is now of one that a caller brought.
    async fn resolve(
        &self,
        field: &'static str,
        brought: &Checkpoint,
        deadline: Instant,
    ) -> Result<Checkpoint, AskError> {
        let known = self.shared().head.borrow().clone();
        if brought.epoch() == known.epoch() && known.covers(brought) {
            return Ok(brought.clone());
        }
        // The rule is the one of every reader that says "after": the storage knows the head and the epochs.
        let read =
            ReadLog { after: Some(brought.clone()), filter: Filter::default(), limit: 1, payload: PayloadChoice::None };
        let invalid = |problem: String| AskError::Query(QueryError::Invalid(format!("{field}: {problem}")));
        match tokio::time::timeout_at(deadline, self.shared().store.read_log(read)).await {
            Ok(Ok(page)) => {
                self.shared().see_head(&page.head);
                Ok(brought.clone().in_epoch(page.head.epoch()))
            }
            Ok(Err(ReadError::Invalid { problem, .. })) => Err(invalid(problem)),
            Ok(Err(error @ ReadError::Rewound { .. })) => Err(invalid(error.to_string())),
            Ok(Err(error)) => Err(AskError::Query(QueryError::Store(super::as_store_error(error)))),
            Err(_) => Err(AskError::Query(QueryError::Store(pacioli_core::StoreError::new(
                "the log did not answer in time; try again",
            )))),
        }
    }

    /// Waits until the serving build of a projection has come to a checkpoint.
    async fn wait_for(&self, name: &Name, at_least: &Checkpoint, deadline: Instant) -> Result<(), AskError> {
        let shared = self.shared();
        let track = shared.track(name);
        let (partitions, epoch) = (at_least.partitions(), at_least.epoch());
        let here = || track.rows(partitions, epoch).map(|(_, checkpoint)| checkpoint);
        if here().is_some_and(|checkpoint| checkpoint.covers(at_least)) {
            return Ok(());
        }
        if self.is_run_by_appends(name, at_least).await? {
            return Ok(());
        }
        let _waiting = track.wait();
        let mut standing = track.subscribe();
        loop {
            standing.borrow_and_update();
            if here().is_some_and(|checkpoint| checkpoint.covers(at_least)) {
                return Ok(());
            }
            let look_every = if here().is_some() { LOOK_EVERY_HERE } else { LOOK_EVERY };
            let next_look = (Instant::now() + look_every).min(deadline);
            let is_time = tokio::select! {
                changed = standing.changed() => changed.is_err(),
                () = tokio::time::sleep_until(next_look) => true,
            };
            if !is_time {
                continue;
            }
            let stands = track.read(&*shared.engine, name, LOOK_EVERY).await.map_err(ask_error)?;
            let stands = self.stands_today(&stands, partitions, epoch, deadline).await?;
            if stands.covers(at_least) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.behind(name, stands, at_least).await);
            }
        }
    }

    /// Whether a `sync` build serves that appends themselves keep at the head. The catalogue that is known may be old, so
    /// whether it still does, and has this, is asked.
    async fn is_run_by_appends(&self, name: &Name, at_least: &Checkpoint) -> Result<bool, AskError> {
        let shared = self.shared();
        let known = shared.catalogue.latest().family(name).and_then(|family| family.serving);
        let Some(known) = known.filter(|serving| serving.runs_in_appends()) else { return Ok(false) };
        let serving = shared.engine.serving(name).await.map_err(ask_error)?;
        let (partitions, epoch) = (at_least.partitions(), at_least.epoch());
        Ok(serving.is_some_and(|(number, stands)| {
            number == known.number && least(&stands, partitions, epoch).covers(at_least)
        }))
    }

    /// Up to where a build has what the log has. One that took events of an earlier epoch which the log lost has nothing of
    /// it: at the same positions there is something else.
    async fn stands_today(
        &self,
        progress: &[Progress],
        partitions: u16,
        epoch: Epoch,
        deadline: Instant,
    ) -> Result<Checkpoint, AskError> {
        if let Some(earlier) = progress.iter().find(|stands| stands.epoch != epoch) {
            let mut furthest = Checkpoint::start(partitions, earlier.epoch);
            for stands in progress {
                if stands.position > furthest.position(stands.partition) {
                    furthest.advance(stands.partition, stands.position);
                }
            }
            match self.resolve("at_least", &furthest, deadline).await {
                Ok(_) => {}
                Err(AskError::Query(QueryError::Invalid(_))) => return Ok(Checkpoint::start(partitions, epoch)),
                Err(error) => return Err(error),
            }
        }
        Ok(least(progress, partitions, epoch))
    }

    /// Where a projection is that did not come in time, and why.
    async fn behind(&self, name: &Name, checkpoint: Checkpoint, at_least: &Checkpoint) -> AskError {
        let family = match self.shared().catalogue.reload().await {
            Ok(builds) => builds.family(name).unwrap_or_default(),
            Err(error) => return ask_error(error),
        };
        let why = match &family.serving {
            Some(serving) => match &serving.state {
                State::Running => None,
                State::Paused => Some(format!("it is paused; `pacioli projection resume {name}` lets it go on")),
                State::Failed(failed) => Some(format!(
                    "it stopped at the event {}: {}; `pacioli projection status {name}` says what to do",
                    failed.place, failed.error
                )),
            },
            None if family.filling.is_some() => Some("its first build is still being filled".to_owned()),
            None => Some("it was dropped".to_owned()),
        };
        AskError::Behind { projection: name.clone(), checkpoint, at_least: at_least.clone(), why }
    }
}

/// The limits, but for the time: what is left of it.
fn within(limits: QueryLimits, deadline: Instant, given: Duration) -> Result<QueryLimits, QueryError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(QueryError::Late(given));
    }
    Ok(QueryLimits { time_max: limits.time_max.min(left), ..limits })
}

/// The engine keeps the time; this is for one that does not.
async fn in_time(
    answer: impl Future<Output = Result<Answer, QueryError>>,
    limits: QueryLimits,
) -> Result<Answer, AskError> {
    match tokio::time::timeout(limits.time_max + GRACE, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(AskError::Query(QueryError::Late(limits.time_max))),
    }
}

pub(super) fn ask_error(error: EngineError) -> AskError {
    AskError::Query(match error {
        EngineError::Refused(reason) => QueryError::Refused(reason),
        EngineError::File(findings) => QueryError::Refused(crate::file::listed(&findings)),
        EngineError::Store(error) => QueryError::Store(error),
    })
}
