//! Reads SQL that people wrote, on connections that log in as the reader.

use std::sync::Arc;

use deadpool::managed;
use pacioli_core::StoreError;
use pacioli_projection::answer::Answer;
use pacioli_projection::engine::{Lookup, QueryError, QueryLimits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::check;
use super::lookup::{Catalogue, Point};
use super::run::{Bounds, Question, serve};
use super::sessions::Sessions;
use crate::connect::Connector;
use crate::location::Location;
use crate::shared::Shared;

/// Connections that queries share, where nobody says otherwise.
pub const CONNECTIONS: usize = 8;

/// Answers questions about one store, by the walls that [`super`] tells of.
pub struct SqlReader {
    pool: managed::Pool<Sessions>,
    /// Queries that people wrote get all connections but a few, so that point reads do not wait behind analyses.
    analyses: Arc<Semaphore>,
    catalogue: Arc<Catalogue>,
    /// The schema that people query.
    reads: String,
}

impl SqlReader {
    /// Answers by at most `connections` connections, which log in as the location's reader where it has one. Makes them when
    /// they are needed.
    ///
    /// # Errors
    /// The certificate authorities cannot be read.
    pub fn new(location: &Location, connections: usize) -> Result<SqlReader, StoreError> {
        SqlReader::beside(location, connections, None)
    }

    /// The same, where the store is open and knows which of its databases is the primary.
    pub(super) fn beside(
        location: &Location,
        connections: usize,
        store: Option<Arc<Shared>>,
    ) -> Result<SqlReader, StoreError> {
        if location.reader().is_none() {
            tracing::warn!(
                "queries in SQL run as the store's own login: nothing but the list of functions keeps them from what it may. \
                 Make a login that is a member of {schema}_reader alone and give it with --reader; `pacioli doctor` tells how",
                schema = location.schema()
            );
        }
        let connector = Connector::new(location.reader().unwrap_or(location).clone())?;
        let connections = connections.max(1);
        let pool = managed::Pool::builder(Sessions::new(connector, store)).max_size(connections).build();
        Ok(SqlReader {
            pool: pool.map_err(|error| StoreError::new(error.to_string()))?,
            analyses: Arc::new(Semaphore::new((connections - connections / 4).max(1))),
            catalogue: Arc::default(),
            reads: format!("{}_read", location.schema()),
        })
    }

    /// The relations that a query names: tables of projections, views, `events`; also names that WITH gives.
    ///
    /// # Errors
    /// [`QueryError::Refused`]
    pub fn named_by(&self, sql: &str) -> Result<Vec<String>, QueryError> {
        Ok(check::check(sql, Some(&self.reads)).map_err(QueryError::Refused)?.relations)
    }

    /// Answers a query. Its names lead to `schemas` one after the other; without any, to what serves now.
    ///
    /// # Errors
    /// As [`QueryError`] says.
    pub async fn query(&self, sql: &str, schemas: &[String], limits: QueryLimits) -> Result<Answer, QueryError> {
        let bounds = Bounds::new(limits);
        // With other schemas than that of now, a name with a schema would leave them.
        let (schema, schemas) = match schemas {
            [] => (Some(self.reads.as_str()), vec![self.reads.clone()]),
            schemas => (None, schemas.to_vec()),
        };
        let checked = check::check(sql, schema).map_err(QueryError::Refused)?;
        let permit = tokio::time::timeout_at(bounds.deadline(), Arc::clone(&self.analyses).acquire_owned()).await;
        let permit = permit.map_err(|_| bounds.late())?.map_err(|_| bounds.late())?;
        self.ask(Question::Statement(checked, schemas), bounds, Some(permit)).await
    }

    /// Answers a point read of what serves now.
    ///
    /// # Errors
    /// As [`QueryError`] says; [`QueryError::Invalid`] where there is no such table or column, or the value is none of its
    /// type.
    pub async fn lookup(&self, lookup: Lookup, limits: QueryLimits) -> Result<Answer, QueryError> {
        let point = Point { lookup, catalogue: Arc::clone(&self.catalogue) };
        self.ask(Question::Point(point), Bounds::new(limits), None).await
    }

    async fn ask(
        &self,
        question: Question,
        bounds: Bounds,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<Answer, QueryError> {
        let seat = match tokio::time::timeout_at(bounds.deadline(), self.pool.get()).await {
            Err(_) => return Err(bounds.late()),
            Ok(Err(managed::PoolError::Backend(error))) => return Err(QueryError::Store(error.into_store_error())),
            Ok(Err(error)) => return Err(QueryError::Store(StoreError::new(error.to_string()))),
            Ok(Ok(seat)) => seat,
        };
        let (reply, answer) = oneshot::channel();
        tokio::spawn(serve(seat, question, bounds, reply, permit));
        let gone = |_| QueryError::Store(StoreError::new("the query was given up; ask again"));
        answer.await.map_err(gone)?
    }
}
