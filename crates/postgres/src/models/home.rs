//! Where read models live: the database, the schemas, and the connections that fill them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deadpool::managed::{self, Metrics, RecycleResult};
use pacioli_projection::Projection;

use crate::connect::{Connector, Purpose, Session};
use crate::error::{Error, Result};
use crate::location::Location;
use crate::shared::Shared;
use crate::store::PostgresStore;

/// Connections that fill tables, at most.
const WORKERS_MAX: usize = 16;
/// How long who wants one waits for it.
const POOL_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
/// Files that are kept parsed.
const PARSED_MAX: usize = 256;

/// The names of what is in a read models' database.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The name after which all others are made.
    pub(crate) schema: String,
    /// Whether the log is there too, and not behind a foreign table.
    pub(crate) is_beside_the_log: bool,
}

impl Names {
    /// The schema that people query: views of the builds that serve, `events` and `projections`.
    pub(crate) fn read_schema(&self) -> String {
        format!("{}_read", self.schema)
    }

    /// The schema of the catalogue.
    pub(crate) fn catalogue(&self) -> String {
        format!("{}_projections", self.schema)
    }

    /// The role that owns read models, where it is there and this login may act as it.
    pub(crate) fn projector(&self) -> String {
        format!("{}_projector", self.schema)
    }

    /// The schema in which the log's `events` and `heads` are.
    fn log_schema(&self) -> String {
        if self.is_beside_the_log { self.schema.clone() } else { self.catalogue() }
    }

    /// The relation that handlers read events from, with its schema.
    pub(crate) fn log_relation(&self) -> String {
        format!("{}.events", self.log_schema())
    }

    /// The data of the log's row `e` in the newest shape, as an expression. Behind a foreign table it comes so.
    pub(super) fn shape(&self) -> String {
        match self.is_beside_the_log {
            true => format!("{}.shape_of(e.type, e.schema_version, e.data)", self.schema),
            false => "e.data::jsonb".to_owned(),
        }
    }

    /// The version of that shape.
    pub(super) fn shape_version(&self) -> String {
        match self.is_beside_the_log {
            true => format!(
                "CASE WHEN e.data IS NULL THEN e.schema_version ELSE {}.shape_version(e.type, e.schema_version) END",
                self.schema
            ),
            false => "e.schema_version".to_owned(),
        }
    }

    /// Puts the names into a statement: `{catalogue}`, `{read}`, `{log}` and `{heads}`, which are the log's, `{data}` and
    /// `{schema_version}` of the log's row `e`, and `{schema}`.
    pub(crate) fn fill(&self, sql: &str) -> String {
        sql.replace("{catalogue}", &self.catalogue())
            .replace("{read}", &self.read_schema())
            .replace("{log}", &self.log_relation())
            .replace("{heads}", &format!("{}.heads", self.log_schema()))
            .replace("{data}", &self.shape())
            .replace("{schema_version}", &self.shape_version())
            .replace("{schema}", &self.schema)
    }
}

/// The database that holds the read models of a store.
pub(crate) struct Home {
    store: PostgresStore,
    connector: Connector,
    names: Names,
    pool: managed::Pool<Workers>,
    parsed: Mutex<HashMap<(String, String), Arc<Projection>>>,
    trials: AtomicU64,
}

impl std::ops::Deref for Home {
    type Target = Names;

    fn deref(&self) -> &Names {
        &self.names
    }
}

/// A connection out of the pool of those that fill tables.
pub(crate) type Worker = managed::Object<Workers>;

impl Home {
    pub(super) fn new(store: PostgresStore, connector: Connector, names: Names, role: Option<String>) -> Home {
        let shared = names.is_beside_the_log.then(|| Arc::clone(store.shared()));
        let manager = Workers { connector: connector.clone(), shared, role };
        let pool = managed::Pool::builder(manager)
            .max_size(WORKERS_MAX)
            .runtime(deadpool::Runtime::Tokio1)
            .wait_timeout(Some(POOL_PATIENCE))
            .build()
            .expect("a pool with a runtime for its timeouts");
        Home { store, connector, names, pool, parsed: Mutex::default(), trials: AtomicU64::default() }
    }

    /// The store whose log is read.
    pub(crate) fn store(&self) -> &PostgresStore {
        &self.store
    }

    /// Where the read models' database is.
    pub(crate) fn location(&self) -> &Location {
        self.connector.location()
    }

    /// The name after which all others are made.
    pub(crate) fn schema(&self) -> &str {
        &self.names.schema
    }

    /// Whether the log is in the same database, and not behind a foreign table.
    pub(crate) fn is_beside_the_log(&self) -> bool {
        self.names.is_beside_the_log
    }

    /// A connection that may change the catalogue and the builds.
    pub(crate) async fn worker(&self) -> Result<Worker> {
        match self.pool.get().await {
            Ok(session) => Ok(session),
            Err(managed::PoolError::Backend(error)) => Err(error),
            Err(error) => Err(Error::Unreachable(format!(
                "no connection for a projection: {error}; too many advance at once, try again later"
            ))),
        }
    }

    /// Takes a connection out of the pool for good, to hold what belongs to a session; the pool makes another.
    pub(crate) async fn own_session(&self) -> Result<Session> {
        Ok(Worker::take(self.worker().await?))
    }

    /// The name of a schema that is made and rolled back.
    pub(super) fn trial_schema(&self) -> String {
        let trial = self.trials.fetch_add(1, Ordering::Relaxed);
        format!("{}_t{}_{trial}", self.schema(), std::process::id())
    }

    /// A file, parsed once.
    pub(super) fn parsed(
        &self,
        file: &str,
        text: &str,
        parse: impl FnOnce() -> Result<Projection>,
    ) -> Result<Arc<Projection>> {
        let key = (file.to_owned(), text.to_owned());
        let known = |parsed: &HashMap<_, Arc<Projection>>| parsed.get(&key).cloned();
        if let Some(known) = known(&self.parsed.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(known);
        }
        let projection = Arc::new(parse()?);
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if parsed.len() >= PARSED_MAX {
            parsed.clear();
        }
        parsed.insert(key, Arc::clone(&projection));
        Ok(projection)
    }
}

/// Makes and keeps the connections that fill tables.
pub(crate) struct Workers {
    connector: Connector,
    /// The store that is in the same database.
    shared: Option<Arc<Shared>>,
    /// The role that owns what is made here; `None` where this login does.
    role: Option<String>,
}

impl managed::Manager for Workers {
    type Type = Session;
    type Error = Error;

    async fn create(&self) -> Result<Session> {
        let connect = async {
            let session = match &self.shared {
                Some(shared) => shared.connect(Purpose::Project).await?,
                None => self.connector.connect(Purpose::Project).await?,
            };
            // Rows and progress commit together: a crash that loses the last of them sets a build back to where both were,
            // and it goes on from there. What must not be lost says so itself.
            session.batch_execute("SET synchronous_commit = off").await?;
            take_role(&session, self.role.as_deref()).await?;
            Ok(session)
        };
        Box::pin(connect).await
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<Error> {
        let leads_elsewhere = self.shared.as_ref().is_some_and(|shared| !shared.leads_to(session));
        if session.is_over() || leads_elsewhere {
            return Err(managed::RecycleError::message("the connection is of no use any more"));
        }
        Ok(())
    }
}

/// Acts as the role that owns read models from here on.
pub(super) async fn take_role(session: &Session, role: Option<&str>) -> Result<()> {
    match role {
        Some(role) => Ok(session.batch_execute(&format!("SET ROLE \"{}\"", role.replace('"', "\"\""))).await?),
        None => Ok(()),
    }
}
