//! Read models on SQLite: each build of a projection is a file, a catalogue says which one serves, and queries attach what they
//! name.
//!
//! ```text
//!   log.db ──► events ──► advance ──► funnel.3.db: tables, and where it stands, in one transaction
//!                                        │
//!   query ──► window: which projections does the statement name? ──► readers: read-only, those files attached
//!                                        │
//!   swap ──► catalogue.db: build 3 serves, build 2 is kept
//! ```
//!
//! Read `advance` for how events become rows, `window` and `readers` for how a query is answered, `wall` for what SQL may
//! do, `lifecycle` for how builds come and go.
//!
//! **Invariants.** Rows and progress commit together, and only from where the progress stood. A file is whole before the
//! catalogue names it. A statement that somebody else wrote is prepared behind a wall, always.

mod advance;
pub(crate) mod batch;
mod build;
mod builds;
mod catalogue;
mod check;
mod copies;
mod events;
mod files;
mod fold;
pub(crate) mod handlers;
mod lifecycle;
mod lifting;
mod lookup;
mod past;
mod paths;
mod query;
mod readers;
pub(crate) mod shapes;
pub(crate) mod sync;
mod text;
mod values;
mod verify;
mod wall;
mod window;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use pacioli_core::place::{Checkpoint, Place};
use pacioli_core::schemas::Gate;
use pacioli_core::store::StoreError;
use pacioli_projection::Projection;
use pacioli_projection::answer::Answer;
use pacioli_projection::engine::{
    Abilities, Advance, AdvanceError, Advanced, Build, BuildNumber, Engine, EngineError, Lookup, Materialized, Moment,
    Progress, Query, QueryError, QueryLimits, Role, Sample, State, Verified,
};
use pacioli_projection::file::{Finding, Name};

use self::builds::Builds;
use self::catalogue::Catalogue;
use self::files::Files;
use self::past::Folds;
use self::query::Bounds;
use self::readers::Readers;
use crate::store::{Shared, SqliteStore};

/// Queries that run at the same time; further ones wait, within their time.
const QUERIES_MAX: usize = 8;
/// Point reads that run at the same time: none of them waits behind a long query.
const LOOKUPS_MAX: usize = 16;

/// Questions of the past that are folded at the same time.
const QUESTIONS_OF_PAST_MAX: usize = 2;

/// How long a verification may take; it is given up with its caller.
const VERIFY_TIME_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The projection `rewind`: one row an event with what it changed, and one row a stream with its state.
pub const REWIND: &str = include_str!("../sql/models/rewind.sql");

/// The read models of an embedded store. Clones share them.
#[derive(Clone)]
pub struct SqliteModels {
    models: Arc<Models>,
}

/// What the clones share.
pub(crate) struct Models {
    /// Keeps the store open.
    store: SqliteStore,
    files: Files,
    catalogue: Mutex<Catalogue>,
    builds: RwLock<Arc<Builds>>,
    readers: Readers,
    queries: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
    questions_of_past: Arc<Semaphore>,
    folds: Folds,
}

impl SqliteModels {
    /// Opens the read models of a store, or begins with none. They lie in `directory`, or where that is `None` in
    /// `read-models` beside the log.
    ///
    /// What a killed process left half done is removed. A build that is damaged, or that is ahead of the log because the log
    /// was restored from a backup, starts again from the first event.
    ///
    /// # Errors
    /// The directory is in use, cannot be written, or has the read models of another store.
    pub fn open(store: &SqliteStore, directory: Option<&Path>) -> Result<SqliteModels, StoreError> {
        Ok(SqliteModels { models: Arc::new(lifecycle::open(store, directory)?) })
    }

    /// Does something that blocks on a thread for that.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Models) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let models = Arc::clone(&self.models);
        let done = tokio::task::spawn_blocking(move || work(&models)).await;
        done.map_err(|error| StoreError::new(format!("work on read models broke off: {error}")))
    }

    async fn command<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Models) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        self.blocking(work).await?
    }

    /// Runs a query on a blocking thread, when it is its turn.
    async fn ask<T: Send + 'static>(
        &self,
        turns: &Arc<Semaphore>,
        limits: QueryLimits,
        work: impl FnOnce(&Models, &Bounds) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let bounds = Bounds::from_now(limits);
        let _given_up_when_dropped = bounds.guard();
        let turn = tokio::time::timeout(bounds.left(), Arc::clone(turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(bounds.late()) };
        let its_bounds = bounds.clone();
        self.blocking(move |models| {
            let _turn = turn;
            work(models, &its_bounds)
        })
        .await?
    }
}

impl Models {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.store.shared()
    }

    /// The builds there are at this moment.
    fn builds(&self) -> Arc<Builds> {
        Arc::clone(&self.builds.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks over the builds there are; once again where they changed meanwhile and a file was gone.
    fn ask<T>(&self, ask: impl Fn(&Builds) -> Result<T, QueryError>) -> Result<T, QueryError> {
        let builds = self.builds();
        match ask(&builds) {
            Err(QueryError::Store(_)) if !Arc::ptr_eq(&builds, &self.builds()) => ask(&self.builds()),
            answer => answer,
        }
    }
}

#[async_trait]
impl Engine for SqliteModels {
    fn abilities(&self) -> Abilities {
        Abilities { sync: true, workers_max: 1 }
    }

    fn gate(&self) -> Option<Arc<dyn Gate>> {
        self.models.shared().gate.clone()
    }

    async fn head(&self) -> Result<Checkpoint, StoreError> {
        // The writer of this process is the only one, and it publishes what it commits.
        Ok(self.models.shared().recent.heads())
    }

    async fn cut(&self, moment: &Moment) -> Result<Checkpoint, StoreError> {
        let moment = moment.clone();
        let cut = self.blocking(move |models| models.cut(&moment)).await?;
        cut.map_err(|error| match error {
            QueryError::Store(error) => error,
            other => StoreError::new(other.to_string()),
        })
    }

    async fn moved(&self, seen: &Checkpoint, patience: Duration) {
        let recent = &self.models.shared().recent;
        let mut bell = recent.bell();
        bell.mark_unchanged();
        if recent.heads() == *seen {
            let _ = tokio::time::timeout(patience, bell.changed()).await;
        }
    }

    async fn check(&self, projection: &Projection) -> Result<Vec<Finding>, EngineError> {
        let projection = projection.clone();
        self.command(move |models| models.check(&projection)).await
    }

    async fn builds(&self) -> Result<Vec<Build>, EngineError> {
        Ok(self.blocking(|models| models.as_builds()).await?)
    }

    async fn begin(&self, projection: &Projection, workers: u16) -> Result<Build, EngineError> {
        let projection = projection.clone();
        self.command(move |models| models.begin(projection, workers)).await
    }

    async fn advance(&self, advance: Advance) -> Result<Advanced, AdvanceError> {
        self.blocking(move |models| models.advance(&advance)).await?
    }

    async fn skip(&self, name: &Name, build: BuildNumber, place: Place) -> Result<(), EngineError> {
        let name = name.clone();
        self.command(move |models| models.skip(&name, build, place)).await
    }

    async fn set_state(&self, name: &Name, build: BuildNumber, state: State) -> Result<(), EngineError> {
        let name = name.clone();
        self.command(move |models| models.set_state(&name, build, &state)).await
    }

    async fn swap(&self, name: &Name, build: BuildNumber) -> Result<(), EngineError> {
        let name = name.clone();
        self.command(move |models| models.swap(&name, build)).await
    }

    async fn take_back(&self, name: &Name, build: BuildNumber) -> Result<(), EngineError> {
        let name = name.clone();
        self.command(move |models| models.take_back(&name, build)).await
    }

    async fn drop_build(&self, name: &Name, build: BuildNumber) -> Result<(), EngineError> {
        let name = name.clone();
        self.command(move |models| models.drop_build(&name, build)).await
    }

    async fn keep_copy(&self, name: &Name, build: BuildNumber) -> Result<Checkpoint, EngineError> {
        let name = name.clone();
        self.command(move |models| models.keep_copy(&name, build)).await
    }

    async fn verify(
        &self,
        name: &Name,
        build: BuildNumber,
        sample: Sample,
        progress: &(dyn Fn(f64) + Send + Sync),
    ) -> Result<Verified, EngineError> {
        let name = name.clone();
        let bounds = Bounds::from_now(QueryLimits { time_max: VERIFY_TIME_MAX, ..QueryLimits::default() });
        let _given_up_when_dropped = bounds.guard();
        let (told, mut shares) = tokio::sync::watch::channel(0.0);
        let its_bounds = bounds.clone();
        let verifying = self.command(move |models| {
            models.verify(&name, build, sample, &its_bounds, &|share| {
                // Nobody listens any more where the caller has gone.
                let _ = told.send(share);
            })
        });
        tokio::pin!(verifying);
        loop {
            tokio::select! {
                verified = &mut verifying => return verified,
                Ok(()) = shares.changed() => progress(*shares.borrow_and_update()),
            }
        }
    }

    async fn materialized(&self, _name: &Name, _build: BuildNumber) -> Result<Vec<Materialized>, EngineError> {
        Ok(Vec::new())
    }

    async fn refresh(&self, _name: &Name, _build: BuildNumber, view: &str) -> Result<(), EngineError> {
        Err(EngineError::Refused(format!(
            "`{view}` is no materialized view: there are none on SQLite, where every table is kept up to date"
        )))
    }

    async fn named_by(&self, sql: &str) -> Result<Vec<Name>, QueryError> {
        let sql = sql.to_owned();
        self.blocking(move |models| {
            models.ask(|builds| {
                let plan = builds.window().map_err(query::store_error)?.plan(&sql)?;
                Ok(plan.builds.iter().map(|at| builds.all[*at].listed.projection.name.clone()).collect())
            })
        })
        .await?
    }

    async fn query(&self, query: Query) -> Result<Answer, QueryError> {
        if let Some(moment) = query.as_of {
            let answer = self.ask(&self.models.questions_of_past, query.limits, move |models, bounds| {
                models.ask(|builds| models.query_past(builds, &query.sql, &moment, bounds))
            });
            return answer.await;
        }
        self.ask(&self.models.queries, query.limits, move |models, bounds| {
            models.ask(|builds| {
                let plan = builds.window().map_err(query::store_error)?.plan(&query.sql)?;
                query::run(&models.readers, &window::sources(builds, &plan), &query.sql, &plan.is_json, [], bounds)
            })
        })
        .await
    }

    async fn lookup(&self, lookup: Lookup, limits: QueryLimits) -> Result<Answer, QueryError> {
        self.ask(&self.models.lookups, limits, move |models, bounds| {
            models.ask(|builds| lookup::lookup(builds, &models.readers, &lookup, bounds))
        })
        .await
    }

    async fn rows_as_of(&self, table: &str, moment: &Moment, limits: QueryLimits) -> Result<Answer, QueryError> {
        let (table, moment) = (table.to_owned(), moment.clone());
        self.ask(&self.models.questions_of_past, limits, move |models, bounds| {
            models.ask(|builds| {
                let window = builds.window().map_err(query::store_error)?;
                if window.owner(&table).is_none() {
                    return Err(window.no_table(&table));
                }
                models.query_past(builds, &format!("SELECT * FROM {}", text::quoted(&table)), &moment, bounds)
            })
        })
        .await
    }

    async fn serving(&self, name: &Name) -> Result<Option<(BuildNumber, Vec<Progress>)>, EngineError> {
        let serving = self.models.builds().of_role(name, Role::Serving).cloned();
        match serving {
            Some(known) if known.is_run_by_writer() => {
                let number = known.listed.number;
                Ok(Some((number, self.blocking(move |models| models.progress_of_sync(&known)).await?)))
            }
            known => Ok(known.map(|known| (known.listed.number, known.file.stands().progress.clone()))),
        }
    }
}
