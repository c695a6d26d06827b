//! Questions about read models and the log, in SQL that people wrote.
//!
//! What they may not is stopped by walls, the strongest first:
//!
//! 1. The login: the reader, who may read `{schema}_read` and nothing else. Without one, the store's own.
//! 2. The transaction: `BEGIN READ ONLY`, stepped down to the reader's role where the login may; the text goes by the extended
//!    protocol, which takes one statement; ROLLBACK in the end, and the session is looked at before it is used again.
//! 3. The text: `check` lets through what it knows and nothing else, and what is sent is what it read.
//! 4. The bounds: the server's clock, a cancel from outside, rows, bytes, and bytes before they are rows.

mod check;
#[cfg(test)]
mod check_tests;
mod decode;
mod lookup;
mod numeric;
mod plain;
mod reader;
mod run;
mod sessions;
mod tree;
mod words;

use std::sync::Arc;
use std::time::Instant;

use pacioli_core::StoreError;
use pacioli_projection::answer::Answer;
use pacioli_projection::engine::{EngineError, Lookup, Query, QueryError, QueryLimits};
use pacioli_projection::file::Name;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use self::reader::{CONNECTIONS, SqlReader};
use super::home::Home;
use super::past::Scratch;
use crate::error::Error;
use crate::location::Location;

/// Questions about the past that are folded at the same time: each has a connection to itself, and the log needs some too.
const OF_PAST_MAX: usize = 4;

/// Answers questions over what serves, and over what was.
pub(super) struct Queries {
    home: Arc<Home>,
    reader: SqlReader,
    of_past: Arc<Semaphore>,
}

impl Queries {
    /// Queries run as `reader`, or as the reader of the location where the read models are, or as its own login.
    ///
    /// # Errors
    /// There are two readers, or one that cannot be.
    pub(super) fn new(home: Arc<Home>, reader: Option<Location>) -> Result<Queries, StoreError> {
        let location = home.location().clone();
        let location = match reader {
            Some(reader) => location.with_reader(reader)?,
            None => location,
        };
        let store = home.is_beside_the_log().then(|| Arc::clone(home.store().shared()));
        let reader = SqlReader::beside(&location, CONNECTIONS, store)?;
        Ok(Queries { home, reader, of_past: Arc::new(Semaphore::new(OF_PAST_MAX)) })
    }

    pub(super) async fn named_by(&self, sql: &str) -> Result<Vec<Name>, QueryError> {
        let relations = self.reader.named_by(sql)?;
        let find = async {
            let worker = self.home.worker().await?;
            let find = worker.prepare_cached(&self.home.fill(sql!("models/find_projections"))).await?;
            Ok::<_, Error>(worker.query(&find, &[&relations]).await?)
        };
        let rows = find.await.map_err(|error| QueryError::Store(error.into_store_error()))?;
        let name = |row: &tokio_postgres::Row| {
            Name::new(row.get::<_, String>(0)).map_err(|problem| QueryError::Store(StoreError::new(problem)))
        };
        rows.iter().map(name).collect()
    }

    pub(super) async fn query(&self, query: Query) -> Result<Answer, QueryError> {
        let began = Instant::now();
        let Some(moment) = &query.as_of else { return self.reader.query(&query.sql, &[], query.limits).await };
        let names = self.named_by(&query.sql).await?;
        let fold = Box::pin(async {
            let turn =
                Arc::clone(&self.of_past).acquire_owned().await.map_err(|error| StoreError::new(error.to_string()))?;
            Ok::<_, EngineError>((turn, self.home.fold_scratch(&names, moment).await?))
        });
        let folded = tokio::time::timeout(query.limits.time_max, fold).await;
        let (turn, scratch) = folded.map_err(|_| QueryError::Late(query.limits.time_max))?.map_err(refused)?;
        let schemas = scratch.schemas.clone();
        let scratch = Discarded { home: Arc::clone(&self.home), schemas, scratch: Some((scratch, turn)) };
        let limits = QueryLimits { time_max: query.limits.time_max.saturating_sub(began.elapsed()), ..query.limits };
        let answer = self.reader.query(&query.sql, &scratch.schemas, limits).await;
        match answer {
            Err(QueryError::Late(_)) => Err(QueryError::Late(query.limits.time_max)),
            answer => answer,
        }
    }

    pub(super) async fn lookup(&self, lookup: Lookup, limits: QueryLimits) -> Result<Answer, QueryError> {
        self.reader.lookup(lookup, limits).await
    }
}

fn refused(error: EngineError) -> QueryError {
    match error {
        EngineError::Refused(reason) => QueryError::Refused(reason),
        EngineError::File(findings) => QueryError::Refused(pacioli_projection::file::listed(&findings)),
        EngineError::Store(error) => QueryError::Store(error),
    }
}

/// Tables of the past, which go when nobody reads them any more, also when nobody waits for the answer.
struct Discarded {
    home: Arc<Home>,
    schemas: Vec<String>,
    scratch: Option<(Scratch, OwnedSemaphorePermit)>,
}

impl Drop for Discarded {
    fn drop(&mut self) {
        if let Some((scratch, turn)) = self.scratch.take() {
            let home = Arc::clone(&self.home);
            tokio::spawn(async move {
                scratch.discard(&home).await;
                drop(turn);
            });
        }
    }
}
