//! The read models of a store that was opened: which engine keeps them, and where.

use std::path::PathBuf;
use std::sync::Arc;

use pacioli_core::{EventStore, StoreError};
use pacioli_postgres::{PostgresModels, PostgresStore};
use pacioli_projection::engine::EngineError;
use pacioli_projection::{Engine, ReadModels, ReadModelsOptions};
use pacioli_sqlite::{SqliteModels, SqliteStore};

use crate::open::{OpenError, data_directory, postgres_location, shown_url};

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
        let OpenReadModels { url, reader, run } = options;
        let (engine, store) = self.open_engine(url, reader).await?;
        let models = ReadModels::start(engine, store, run).await;
        models.map_err(|error| match error {
            EngineError::Store(error) => OpenError::Store(error),
            other => OpenError::Store(StoreError::new(other.to_string())),
        })
    }

    /// Opens what keeps the store's read models, as [`EngineSource::open_read_models`] does, and runs no projection: the
    /// engine, and the store.
    ///
    /// # Errors
    /// The same.
    pub async fn open_engine(
        &self,
        url: Option<String>,
        reader: Option<String>,
    ) -> Result<(Arc<dyn Engine>, Arc<dyn EventStore>), OpenError> {
        match self {
            EngineSource::Memory => {
                let problem = "a store in memory keeps no read models; use `sqlite:DIRECTORY` or `postgres://…`";
                Err(OpenError::Url(problem.to_owned()))
            }
            EngineSource::Sqlite(store) => Ok((open_sqlite(store, url, reader).await?, Arc::clone(store) as _)),
            EngineSource::Postgres(store) => Ok((open_postgres(store, url, reader).await?, Arc::clone(store) as _)),
        }
    }

    /// Resolves when nothing in this process has the store open any more, so that it may be opened again. PostgreSQL is open
    /// to everybody.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let closed = match self {
            EngineSource::Sqlite(store) => Some(store.closed()),
            EngineSource::Memory | EngineSource::Postgres(_) => None,
        };
        async move {
            if let Some(closed) = closed {
                closed.await;
            }
        }
    }

    /// The projection of the whole log that `--rewind` asks for, as a file: its name and its text. `None` in memory.
    pub fn rewind(&self) -> Option<(&'static str, &'static str)> {
        match self {
            EngineSource::Memory => None,
            EngineSource::Sqlite(_) => Some(("rewind.sql", pacioli_sqlite::models::REWIND)),
            EngineSource::Postgres(_) => Some(("rewind.sql", pacioli_postgres::models::REWIND)),
        }
    }
}

async fn open_sqlite(
    store: &Arc<SqliteStore>,
    url: Option<String>,
    reader: Option<String>,
) -> Result<Arc<dyn Engine>, OpenError> {
    if reader.is_some() {
        let problem =
            "a reader is a login of a store on PostgreSQL; on SQLite queries run on connections that only read";
        return Err(OpenError::Url(problem.to_owned()));
    }
    let directory = match &url {
        None => None,
        Some(url) => Some(data_directory(url).map(PathBuf::from).ok_or_else(|| {
            OpenError::Url(format!(
                "the read models of a store on SQLite lie in a directory, `sqlite:DIRECTORY`, and not in {}",
                shown_url(url)
            ))
        })?),
    };
    let store = Arc::clone(store);
    // Recovery may take its time, and it uses the file system.
    let opening = tokio::task::spawn_blocking(move || SqliteModels::open(&store, directory.as_deref()));
    let opened = opening.await.map_err(|error| StoreError::new(format!("opening the read models failed: {error}")));
    Ok(Arc::new(opened.and_then(|opened| opened).map_err(OpenError::Store)?))
}

async fn open_postgres(
    store: &Arc<PostgresStore>,
    url: Option<String>,
    reader: Option<String>,
) -> Result<Arc<dyn Engine>, OpenError> {
    let location = |what: &str, url: Option<String>| match url {
        None => Ok(None),
        // Never the whole URL: it may hold a password.
        Some(url) => postgres_location(&url)?.map(Some).ok_or_else(|| {
            OpenError::Url(format!("{what} of a store on PostgreSQL is a URL like `postgres://USER@HOST/DATABASE`"))
        }),
    };
    let models = location("the place for read models", url)?;
    let reader = location("the reader", reader)?;
    let opened = Box::pin(PostgresModels::open(store, models, reader)).await;
    Ok(Arc::new(opened.map_err(OpenError::Store)?))
}
