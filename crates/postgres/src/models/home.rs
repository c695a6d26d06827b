//! Where read models live: the database, the schemas, and the connections that fill them.

use std::sync::Arc;

use deadpool::managed::{self, Metrics, RecycleResult};
use pacioli_core::StoreError;

use crate::connect::{Connector, Purpose, Session};
use crate::error::{Error, Result};
use crate::location::Location;
use crate::shared::Shared;
use crate::store::PostgresStore;

/// Connections that fill tables, at most.
const WORKERS_MAX: usize = 16;
/// How long who wants one waits for it.
const POOL_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// The database that holds the read models of a store, and the names of what is there.
pub(crate) struct Home {
    store: PostgresStore,
    connector: Connector,
    schema: String,
    is_beside_the_log: bool,
    /// The role that owns what is made here; `None` where this login does.
    role: Option<String>,
    pool: managed::Pool<Workers>,
}

/// A connection out of the pool of those that fill tables.
pub(crate) type Worker = managed::Object<Workers>;

impl Home {
    pub(super) fn new(store: PostgresStore, elsewhere: Option<Connector>, role: Option<String>) -> Home {
        let is_beside_the_log = elsewhere.is_none();
        let connector = elsewhere.unwrap_or_else(|| store.shared().connector.clone());
        let schema = connector.location().schema().to_owned();
        let shared = is_beside_the_log.then(|| Arc::clone(store.shared()));
        let manager = Workers { connector: connector.clone(), shared, role: role.clone() };
        let pool = managed::Pool::builder(manager)
            .max_size(WORKERS_MAX)
            .runtime(deadpool::Runtime::Tokio1)
            .wait_timeout(Some(POOL_PATIENCE))
            .build()
            .expect("a pool with a runtime for its timeouts");
        Home { store, connector, schema, is_beside_the_log, role, pool }
    }

    /// The store whose log is read.
    pub(crate) fn store(&self) -> &PostgresStore {
        &self.store
    }

    /// What connects to the read models' database, as the login that fills them.
    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Where the read models' database is.
    pub(crate) fn location(&self) -> &Location {
        self.connector.location()
    }

    /// Whether the log is in the same schema's database, and not behind a foreign table.
    pub(crate) fn is_beside_the_log(&self) -> bool {
        self.is_beside_the_log
    }

    /// The role that owns what is made here, where it is not this login.
    pub(crate) fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    /// The name after which all others are made.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// The schema that people query: views of the builds that serve, `events` and `projections`.
    pub(crate) fn read_schema(&self) -> String {
        format!("{}_read", self.schema)
    }

    /// The schema of the catalogue.
    pub(crate) fn catalogue(&self) -> String {
        format!("{}_projections", self.schema)
    }

    /// The relation that handlers read events from, with its schema.
    pub(crate) fn log_relation(&self) -> String {
        if self.is_beside_the_log { format!("{}.events", self.schema) } else { format!("{}.events", self.catalogue()) }
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

    /// Puts the names of what is here into a statement: `{catalogue}`, `{read}`, `{schema}`, `{log}`.
    pub(crate) fn fill(&self, sql: &str) -> String {
        sql.replace("{catalogue}", &self.catalogue())
            .replace("{read}", &self.read_schema())
            .replace("{log}", &self.log_relation())
            .replace("{schema}", &self.schema)
    }
}

/// A connector for read models in another database than the log's.
pub(super) fn elsewhere(models: Location) -> std::result::Result<Connector, StoreError> {
    Connector::new(models)
}

/// Makes and keeps the connections that fill tables.
pub(crate) struct Workers {
    connector: Connector,
    /// The store that is in the same database.
    shared: Option<Arc<Shared>>,
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
        Some(role) => Ok(session.batch_execute(&format!("SET ROLE {role}")).await?),
        None => Ok(()),
    }
}
