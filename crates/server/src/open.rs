//! Opening a store by its URL.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pacioli_core::memory::MemoryStore;
use pacioli_core::schemas::{Gate, RegistryStore};
use pacioli_core::{EventStore, Limits, Partition, StoreError, SystemClock};
use pacioli_postgres::{Location, PostgresOptions, PostgresStore};
use pacioli_schema::SchemaGate;
use pacioli_sqlite::{SqliteOptions, SqliteStore};

use crate::models::EngineSource;
use crate::schemas::Registry;

/// The URLs there are, for messages.
const URLS: &str = "`sqlite:DIRECTORY`, `postgres://USER@HOST/DATABASE` or `memory:`";

/// What a store's URL does not say.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// How many partitions a new store gets, 1 where `None`; a store that exists must have as many.
    pub partitions: Option<u16>,
    /// The sizes it accepts.
    pub limits: Limits,
    /// Make nothing where there is no store: it is an error.
    pub must_exist: bool,
    /// PostgreSQL: use a database that may lose acknowledged appends, one with `fsync` or `full_page_writes` off.
    pub accept_data_loss: bool,
    /// PostgreSQL: subscribers get this process's own appends by the bus too, and not from memory.
    pub own_by_bus: bool,
    /// PostgreSQL: take no replication slot, and look for the appends of others again and again.
    pub poll_only: bool,
}

/// A store, and what had to be made for it.
pub struct Opened {
    /// The store.
    pub store: Arc<dyn EventStore>,
    /// What was missing and was made, a line each; only the engine on PostgreSQL says.
    pub made: Vec<String>,
    /// The engine, for what the contract does not say: see [`EngineSource::open_read_models`].
    pub engine: EngineSource,
    /// The schema registry that the store keeps, whose rules hold for every append.
    pub schemas: Registry,
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL, or an option with it, makes no sense.
    #[error("{0}")]
    Url(String),
    /// What the engine says.
    #[error(transparent)]
    Store(StoreError),
}

/// Opens the store at `url`: `sqlite:DIR` keeps it in a directory, `postgres://…` in a schema of a database, `memory:`
/// forgets it with the process.
///
/// `partitions` is how many a new store gets (1 where `None`); a store that exists must have as many.
///
/// # Errors
/// What is wrong with the URL, or why the store cannot be opened and what to do.
pub async fn open_store(url: &str, partitions: Option<u16>) -> Result<Arc<dyn EventStore>, OpenError> {
    Ok(open_store_with(url, OpenOptions { partitions, ..OpenOptions::default() }).await?.store)
}

/// The directory that the store at `url` keeps its files in; `None` where it has none.
pub fn data_directory(url: &str) -> Option<&Path> {
    let rest = url.strip_prefix("sqlite:")?;
    // `sqlite://dir` is what people write who are used to URLs.
    let directory = rest.strip_prefix("//").unwrap_or(rest);
    (!directory.is_empty()).then(|| Path::new(directory))
}

/// Where the store at `url` is on PostgreSQL; `None` where it is somewhere else.
///
/// # Errors
/// [`OpenError::Url`], without what the URL may hold of a password.
pub fn postgres_location(url: &str) -> Result<Option<Location>, OpenError> {
    let is_postgres = ["postgres:", "postgresql:"].iter().any(|scheme| url.starts_with(scheme));
    if !is_postgres {
        return Ok(None);
    }
    url.parse().map(Some).map_err(|error: StoreError| OpenError::Url(error.reason))
}

/// The store's URL as it may be shown to anybody: without a user and a password.
pub fn shown_url(url: &str) -> String {
    match postgres_location(url) {
        Ok(Some(location)) => {
            let hosts: Vec<String> = location.hosts().iter().map(Location::describe).collect();
            let (hosts, database, schema) = (hosts.join(","), location.database(), location.schema());
            match hosts.rsplit_once("/.s.PGSQL.") {
                // The directory of a socket, which has no place where a host stands.
                Some((directory, port)) => {
                    format!("postgres:///{database}?host={directory}&port={port}&schema={schema}")
                }
                None => format!("postgres://{hosts}/{database}?schema={schema}"),
            }
        }
        Ok(None) if !url.contains('@') => url.to_owned(),
        _ => url.split(':').next().unwrap_or_default().to_owned(),
    }
}

/// Opens the store at `url` as [`open_store`] does, with these options. Must be called inside a Tokio runtime.
///
/// # Errors
/// Those of [`open_store`], and a store that must exist and does not.
pub async fn open_store_with(url: &str, options: OpenOptions) -> Result<Opened, OpenError> {
    let OpenOptions { partitions, limits, must_exist, .. } = options;
    if let Some(wrong) = partitions.filter(|count| *count == 0 || *count > Partition::MAX_COUNT) {
        return Err(OpenError::Url(format!("a store has 1 to {} partitions, not {wrong}", Partition::MAX_COUNT)));
    }
    if let Some(location) = postgres_location(url)? {
        return open_postgres(location, options).await;
    }
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(OpenError::Url(format!("`{url}` is no store: write {URLS}")));
    };
    let given = [
        ("data loss", options.accept_data_loss),
        ("own events by the bus", options.own_by_bus),
        ("polling", options.poll_only),
    ];
    if let Some((what, _)) = given.iter().find(|(_, given)| *given) {
        return Err(OpenError::Url(format!("the option about {what} is for a store on PostgreSQL")));
    }
    let gate = Arc::new(SchemaGate::new());
    let (store, rows, engine): (Arc<dyn EventStore>, Arc<dyn RegistryStore>, EngineSource) = match scheme {
        "memory" if rest.is_empty() => {
            let clock = SystemClock::new(|duration| Box::pin(tokio::time::sleep(duration)));
            let passed = Arc::clone(&gate) as Arc<dyn Gate>;
            let store = MemoryStore::with_gate(partitions.unwrap_or(1), limits, Arc::new(clock), passed);
            (Arc::new(store.clone()), Arc::new(store), EngineSource::Memory)
        }
        "memory" => return Err(OpenError::Url("`memory:` takes nothing behind the colon".to_owned())),
        "sqlite" => {
            let Some(directory) = data_directory(url) else {
                return Err(OpenError::Url("`sqlite:` needs a directory, like `sqlite:./pacioli-data`".to_owned()));
            };
            let gate = Some(Arc::clone(&gate) as Arc<dyn Gate>);
            let options = SqliteOptions { partitions, limits, gate, ..SqliteOptions::default() };
            let store = Arc::new(open_sqlite(directory.to_owned(), options, must_exist).await?);
            (Arc::clone(&store) as _, Arc::clone(&store) as _, EngineSource::Sqlite(store))
        }
        // Never the whole URL: it may hold a password.
        other => return Err(OpenError::Url(format!("`{other}:` is no store this build knows; write {URLS}"))),
    };
    let schemas = Registry::new(gate, rows, Arc::clone(&store));
    Ok(Opened { store, made: Vec::new(), engine, schemas })
}

async fn open_sqlite(directory: PathBuf, options: SqliteOptions, must_exist: bool) -> Result<SqliteStore, OpenError> {
    // Recovery may take seconds, and it uses the file system.
    let opening = tokio::task::spawn_blocking(move || {
        if must_exist && !directory.join("log.db").exists() {
            let missing = format!(
                "there is no store in {}; it has no `log.db`: name the directory of a store, or let `pacioli serve`, `append` \
                 or `import` make one",
                directory.display()
            );
            return Err(OpenError::Store(StoreError::new(missing)));
        }
        SqliteStore::open(&directory, options).map_err(OpenError::Store)
    });
    opening.await.map_err(|error| OpenError::Store(StoreError::new(format!("opening the store failed: {error}"))))?
}

async fn open_postgres(location: Location, options: OpenOptions) -> Result<Opened, OpenError> {
    let OpenOptions { partitions, limits, must_exist, accept_data_loss, own_by_bus, poll_only } = options;
    if let (Some(option), Some(url)) = (partitions, location.partitions())
        && option != url
    {
        return Err(OpenError::Url(format!("{option} partitions are asked for, and {url} in the store's URL")));
    }
    let gate = Arc::new(SchemaGate::new());
    let options = PostgresOptions {
        gate: Some(Arc::clone(&gate) as Arc<dyn Gate>),
        partitions,
        limits,
        must_exist,
        accept_data_loss,
        own_by_bus,
        poll_only,
        ..PostgresOptions::default()
    };
    let store = Box::pin(PostgresStore::open(location, options)).await.map_err(OpenError::Store)?;
    let made = store.made().to_vec();
    let store = Arc::new(store);
    let schemas = Registry::new(gate, Arc::clone(&store) as _, Arc::clone(&store) as _);
    Ok(Opened { store: Arc::clone(&store) as _, made, engine: EngineSource::Postgres(store), schemas })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_opened_is_said() {
        let problem =
            async |url: &str, partitions| open_store(url, partitions).await.err().expect("it is refused").to_string();
        assert!(problem("data", None).await.contains("sqlite:DIRECTORY"));
        assert!(!problem("mysql://user:secret@host/db", None).await.contains("secret"));
        assert!(problem("memory:", Some(0)).await.contains("1 to 1024"));
        assert!(problem("postgres://u:secret@127.0.0.1:1/db?partitions=4", Some(2)).await.contains("2 partitions"));
        let unreachable = problem("postgres://u:secret@127.0.0.1:1/db?partitions=4", Some(4)).await;
        assert!(unreachable.contains("127.0.0.1:1") && !unreachable.contains("secret"), "{unreachable}");
        assert!(open_store("memory:", Some(4)).await.is_ok());
    }

    #[tokio::test]
    async fn an_option_of_another_engine_is_refused() {
        for options in [
            OpenOptions { accept_data_loss: true, ..OpenOptions::default() },
            OpenOptions { own_by_bus: true, ..OpenOptions::default() },
            OpenOptions { poll_only: true, ..OpenOptions::default() },
        ] {
            let refused = open_store_with("memory:", options).await.err().expect("it is refused");
            assert!(matches!(&refused, OpenError::Url(problem) if problem.contains("PostgreSQL")), "{refused}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        for url in [
            "postgres://u:secret@db1:5433,db2/shop?schema=sales",
            "postgresql:///shop?host=/tmp&user=u&password=secret",
            "postgres://u:secret@h/d?schema=Wrong",
            "mysql://u:secret@h/d",
        ] {
            assert!(!shown_url(url).contains("secret"), "{}", shown_url(url));
        }
        assert_eq!(
            shown_url("postgres://u:secret@db1:5433/shop?schema=sales"),
            "postgres://db1:5433/shop?schema=sales"
        );
        assert_eq!(
            shown_url("postgresql:///shop?host=/tmp/x&port=9&user=u&password=secret"),
            "postgres:///shop?host=/tmp/x&port=9&schema=pacioli"
        );
        assert_eq!(shown_url("sqlite:./data"), "sqlite:./data");
    }

    #[tokio::test]
    async fn a_directory_keeps_its_events() {
        use pacioli_core::{Append, EventId, EventType, ExpectedVersion, NewEvent, StreamName};

        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("data").display());
        let reading = OpenOptions { must_exist: true, ..OpenOptions::default() };
        let missing = open_store_with(&url, reading).await.err().unwrap().to_string();
        assert!(missing.contains("there is no store in") && !dir.path().join("data").exists(), "{missing}");
        let event = NewEvent::json(EventId(uuid::Uuid::from_u128(1)), EventType::new("T").unwrap(), "{}");
        let append = Append::to(StreamName::new("a-1").unwrap(), ExpectedVersion::None, vec![event]);
        open_store(&url, None).await.unwrap().append(append).await.unwrap();
        let again = open_store_with(&url, OpenOptions { partitions: Some(1), ..reading }).await.unwrap();
        assert_eq!(again.store.head().await.unwrap().to_string(), "0:1");
        drop(again);
        assert!(open_store(&url, Some(2)).await.is_err(), "the number of partitions is fixed");
    }
}
