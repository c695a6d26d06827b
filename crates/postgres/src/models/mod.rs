//! Read models on PostgreSQL: each build of a projection is a schema of its own with its tables and one compiled function
//! that applies a range of positions, so that events never leave the database.
//!
//! | schema | what is there |
//! | --- | --- |
//! | `{schema}_read` | what people query: one view a table of each build that serves, `events`, `projections` |
//! | `{schema}_projections` | the catalogue: builds, their progress, copies |
//! | `{schema}_{name}_{number}` | a build: its tables and its function `apply` |
//!
//! **Invariants.** Rows and progress move in one transaction, and only from where the progress stands. What a file says runs
//! as the role that owns read models, which may read the log and not write it.

mod advance;
mod builds;
mod catalogue;
mod check;
mod compile;
mod copies;
mod epochs;
mod fold;
mod foreign;
pub mod functions;
mod home;
mod infer;
mod materialized;
mod past;
pub mod query;
mod scratch;
mod shape;
mod sync;
mod transaction;
mod values;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pacioli_core::place::{Checkpoint, Place};
use pacioli_core::schemas::Gate;
use pacioli_core::{EventStore, StoreError};
use pacioli_projection::answer::Answer;
use pacioli_projection::engine::{
    Abilities, Advance, AdvanceError, Advanced, Build, BuildNumber, EngineError, Lookup, Materialized, Moment,
    Progress, Query, QueryError, QueryLimits, Sample, State, Verified,
};
use pacioli_projection::file::{Finding, Name};
use pacioli_projection::{Engine, Projection};

use crate::connect::{Connector, Purpose};
use crate::error::Error;
use crate::location::Location;
use crate::store::PostgresStore;
pub(crate) use compile::{fill, quote};
use home::{Home, Names};
use query::Queries;
pub(crate) use values::literal;

/// Workers of one build that advance at the same time, at most.
const WORKERS_MAX: u16 = 8;

/// The file of the projection `rewind`: one row an event with the fields it changed, and one row a stream with its state.
pub const REWIND: &str = sql!("models/rewind");

/// The read models of a PostgreSQL store, beside its log or in another database.
pub struct PostgresModels {
    home: Arc<Home>,
    queries: Queries,
}

impl PostgresModels {
    /// Opens the read models of a store, and makes what is missing: in the store's own database, or in that of `models`.
    /// Queries log in at `reader`.
    ///
    /// # Errors
    /// The database cannot be reached, or this login may not make what is missing; then what to do.
    pub async fn open(
        store: &PostgresStore,
        models: Option<Location>,
        reader: Option<Location>,
    ) -> Result<PostgresModels, StoreError> {
        let is_beside_the_log = models.is_none();
        let connector = match models {
            Some(models) => Connector::new(models)?,
            None => store.shared().connector.clone(),
        };
        let names = Names { schema: connector.location().schema().to_owned(), is_beside_the_log };
        let make = async {
            let session = connector.connect(Purpose::Maintain).await?;
            session.within(catalogue::make(&session, &names, store.shared().connector.location())).await
        };
        let role = make.await.map_err(Error::into_store_error)?;
        let home = Arc::new(Home::new(store.clone(), connector, names, role));
        let sweep = async {
            let worker = home.worker().await?;
            scratch::sweep_soon(&home, &worker).await;
            Ok::<_, Error>(())
        };
        sweep.await.map_err(Error::into_store_error)?;
        let queries = Queries::new(Arc::clone(&home), reader)?;
        Ok(PostgresModels { home, queries })
    }
}

#[async_trait]
impl Engine for PostgresModels {
    fn abilities(&self) -> Abilities {
        Abilities { sync: self.home.is_beside_the_log(), workers_max: WORKERS_MAX }
    }

    fn gate(&self) -> Option<Arc<dyn Gate>> {
        self.home.store().shared().gate.clone()
    }

    async fn head(&self) -> Result<Checkpoint, StoreError> {
        self.home.store().head().await.map_err(|error| StoreError::new(error.to_string()))
    }

    async fn cut(&self, moment: &Moment) -> Result<Checkpoint, StoreError> {
        past::cut(&self.home, moment).await
    }

    async fn moved(&self, seen: &Checkpoint, patience: Duration) {
        let recent = &self.home.store().shared().recent;
        let mut bell = recent.bell();
        // Marked as seen before the heads are looked at, so that no ring is lost in between.
        bell.borrow_and_update();
        let heads = recent.heads();
        if heads.epoch() == seen.epoch() && seen.covers(&heads) {
            // Who reads again either way needs no more than this.
            let _ = tokio::time::timeout(patience, bell.changed()).await;
        }
    }

    async fn check(&self, projection: &Projection) -> Result<Vec<Finding>, EngineError> {
        check::check(&self.home, projection).await
    }

    async fn builds(&self) -> Result<Vec<Build>, EngineError> {
        let head = self.head().await?;
        let worker = self.home.worker().await.map_err(check::engine_error)?;
        epochs::settle(&self.home, &worker).await?;
        let builds = catalogue::builds(&self.home, &worker, &head);
        Box::pin(worker.whole(worker.within(builds))).await.map_err(check::engine_error)
    }

    async fn serving(&self, name: &Name) -> Result<Option<(BuildNumber, Vec<Progress>)>, EngineError> {
        let look = async |head: &Checkpoint| {
            let worker = self.home.worker().await?;
            worker.within(catalogue::serving(&self.home, &worker, name, head)).await
        };
        let mut serving = look(&self.home.store().shared().recent.heads()).await.map_err(check::engine_error)?;
        if matches!(serving, Some((_, true, _))) {
            // What appends write stands where the log did before this look, at least.
            let head = self.head().await?;
            serving = look(&head).await.map_err(check::engine_error)?;
        }
        Ok(serving.map(|(number, _, progress)| (number, progress)))
    }

    async fn begin(&self, projection: &Projection, workers: u16) -> Result<Build, EngineError> {
        if workers > WORKERS_MAX {
            return Err(EngineError::Refused(format!("a build has {WORKERS_MAX} workers at most; ask for fewer")));
        }
        builds::begin(&self.home, projection, workers).await
    }

    async fn advance(&self, advance: Advance) -> Result<Advanced, AdvanceError> {
        advance::advance(&self.home, advance).await
    }

    async fn skip(&self, name: &Name, build: BuildNumber, place: Place) -> Result<(), EngineError> {
        advance::skip(&self.home, name, build, place).await
    }

    async fn set_state(&self, name: &Name, build: BuildNumber, state: State) -> Result<(), EngineError> {
        builds::set_state(&self.home, name, build, state).await
    }

    async fn swap(&self, name: &Name, build: BuildNumber) -> Result<(), EngineError> {
        builds::swap(&self.home, name, build).await
    }

    async fn take_back(&self, name: &Name, build: BuildNumber) -> Result<(), EngineError> {
        builds::take_back(&self.home, name, build).await
    }

    async fn drop_build(&self, name: &Name, build: BuildNumber) -> Result<(), EngineError> {
        builds::drop_build(&self.home, name, build).await
    }

    async fn keep_copy(&self, name: &Name, build: BuildNumber) -> Result<Checkpoint, EngineError> {
        copies::keep(&self.home, name, build).await
    }

    async fn verify(
        &self,
        name: &Name,
        build: BuildNumber,
        sample: Sample,
        progress: &(dyn Fn(f64) + Send + Sync),
    ) -> Result<Verified, EngineError> {
        verify::verify(&self.home, name, build, sample, progress).await
    }

    async fn materialized(&self, name: &Name, build: BuildNumber) -> Result<Vec<Materialized>, EngineError> {
        materialized::list(&self.home, name, build).await
    }

    async fn refresh(&self, name: &Name, build: BuildNumber, view: &str) -> Result<(), EngineError> {
        materialized::refresh(&self.home, name, build, view).await
    }

    async fn named_by(&self, sql: &str) -> Result<Vec<Name>, QueryError> {
        self.queries.named_by(sql).await
    }

    async fn query(&self, query: Query) -> Result<Answer, QueryError> {
        self.queries.query(query).await
    }

    async fn lookup(&self, lookup: Lookup, limits: QueryLimits) -> Result<Answer, QueryError> {
        self.queries.lookup(lookup, limits).await
    }

    async fn rows_as_of(&self, table: &str, moment: &Moment, limits: QueryLimits) -> Result<Answer, QueryError> {
        let relation = format!("\"{}\"", table.replace('"', "\"\""));
        let sql = sql!("models/list_rows").replace("{relation}", &relation);
        self.queries.query(Query { sql, as_of: Some(moment.clone()), limits }).await
    }
}
