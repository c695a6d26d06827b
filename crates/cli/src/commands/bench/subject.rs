//! What is measured: a store in this process, a server that runs already, or one that is started for the run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pacioli_bench::Connections;
use pacioli_bench::child::Process;
use pacioli_bench::floor::FloorStore;
use pacioli_bench::grow::DiskPart;
use pacioli_bench::models::{Models, ReadModel};
use pacioli_bench::schemas::{EVENT_TYPE, Registry, VERSIONS};
use pacioli_client::Client;
use pacioli_core::EventStore;
use pacioli_core::schemas::Shape;
use pacioli_postgres::baseline::RawCopy;
use pacioli_postgres::{Location, bench};
use pacioli_projection::ReadModels;
use pacioli_server::shapes::Reading;
use pacioli_server::{EngineSource, OpenOptions, OpenReadModels, Opened, data_directory, postgres_location};
use tempfile::TempDir;

use super::models::HttpModels;
use super::registry::OneRegistry;
use super::{Common, note, scratch};
use crate::failure::Failure;
use crate::target::{self, Place, Target};

/// A store under load. What was started or made for it goes with it.
pub(super) struct Subject {
    name: String,
    connections: Connections,
    in_process: bool,
    /// What keeps the read models, in process.
    engine: Option<EngineSource>,
    /// The read models, in process, once somebody asked for them.
    models: Option<ReadModels>,
    /// The registry of schemas, in process.
    schemas: Option<pacioli_server::schemas::Registry>,
    /// The same connections as clients, over the network.
    clients: Vec<Client>,
    process: Option<Process>,
    /// The URL of the store, where this run opened it or started its server.
    store: Option<String>,
    /// Where the data lies, or would lie.
    directory: PathBuf,
    _temporary: Option<TempDir>,
}

impl Subject {
    /// Opens or starts what the options name.
    pub(super) async fn start(common: &Common) -> Result<Subject, Failure> {
        if common.connections == 0 {
            return Err(Failure::usage("--connections must be at least 1"));
        }
        match common.store.store_option() {
            Some(url) if common.spawn_server => {
                if !target::is_postgres(url) {
                    return Err(Failure::usage(
                        "--spawn-server makes an embedded store of its own; with --store it takes one on PostgreSQL only",
                    ));
                }
                let url = scratch::new_store(common, url)?;
                return Subject::spawned("a server of its own on postgres", common, url, None).await;
            }
            _ if common.spawns() => {
                if !common.spawn_server {
                    note("no --server or --store was given: starting a server of its own, as --spawn-server does");
                }
                let temporary = temporary(common)?;
                let url = format!("sqlite:{}", temporary.path().display());
                return Subject::spawned("a server of its own", common, url, Some(temporary)).await;
            }
            _ => {}
        }
        match common.store.place()? {
            Place::Server(url) => {
                let (connections, clients) = connect(common, &url).await?;
                let subject = Subject { connections, clients, ..Subject::of(url, common.dir.clone()) };
                Ok(Subject { in_process: false, ..subject })
            }
            Place::Store(url) => Subject::at(url, common).await,
        }
    }

    /// The same, for what has to be in this process: a temporary store where no option names one.
    pub(super) async fn start_in_process(common: &Common) -> Result<Subject, Failure> {
        if common.spawn_server {
            return Err(Failure::usage("--spawn-server: this is measured in process; name a store with --store"));
        }
        if !common.store.is_named() {
            note("no --store was given: opening a temporary one, as --store sqlite: does");
            return Subject::at("sqlite:".to_owned(), common).await;
        }
        match common.store.place()? {
            Place::Store(url) => Subject::at(url, common).await,
            Place::Server(_) => Err(Failure::usage("this is measured in process, not through a server")
                .hint("Name a store with --store, like --store sqlite: for a temporary one.")),
        }
    }

    /// A store in this process: a temporary one, one in a schema of its own, or the one that the URL names.
    async fn at(url: String, common: &Common) -> Result<Subject, Failure> {
        if url == "sqlite:" {
            let temporary = temporary(common)?;
            let url = format!("sqlite:{}", temporary.path().display());
            return Ok(Subject { _temporary: Some(temporary), ..Subject::in_process(common, url).await? });
        }
        match target::is_postgres(&url) {
            true => Subject::in_process(common, scratch::new_store(common, &url)?).await,
            false => Subject::in_process(common, url).await,
        }
    }

    /// One in this process that nothing is opened for yet.
    fn of(name: String, directory: PathBuf) -> Subject {
        Subject {
            name,
            connections: Vec::new(),
            in_process: true,
            engine: None,
            models: None,
            schemas: None,
            clients: Vec::new(),
            process: None,
            store: None,
            directory,
            _temporary: None,
        }
    }

    async fn in_process(common: &Common, url: String) -> Result<Subject, Failure> {
        let name = url.split(':').next().unwrap_or(&url).to_owned() + ": in this process";
        let directory = data_directory(&url).map_or_else(|| common.dir.clone(), PathBuf::from);
        let Opened { store, engine, schemas, .. } = target::open_store(&url, OpenOptions::default()).await?;
        let subject = Subject::of(name, directory);
        let (engine, schemas) = (Some(engine), Some(schemas));
        Ok(Subject { connections: vec![store], engine, schemas, store: Some(url), ..subject })
    }

    async fn spawned(name: &str, common: &Common, url: String, temporary: Option<TempDir>) -> Result<Subject, Failure> {
        let directory = temporary.as_ref().map_or_else(|| common.dir.clone(), |made| made.path().to_owned());
        let mut subject = Subject {
            in_process: false,
            store: Some(url),
            _temporary: temporary,
            ..Subject::of(name.to_owned(), directory)
        };
        subject.spawn(common).await?;
        Ok(subject)
    }

    /// Another writer to the same store: a handle of its own in process, else a server of its own.
    pub(super) async fn other(&self, common: &Common) -> Result<Subject, Failure> {
        let Some(url) = self.store.clone().filter(|url| target::is_postgres(url)) else {
            return Err(Failure::usage("--from-other needs a store on PostgreSQL that is opened for the run"));
        };
        if self.in_process {
            return Subject::in_process(common, url).await;
        }
        Subject::spawned("another server", common, url, None).await
    }

    /// The floor for this subject: in process beside one in process, else behind a port as this one is.
    pub(super) async fn floor(&self, common: &Common) -> Result<Subject, Failure> {
        let temporary = temporary(common)?;
        let directory = temporary.path().to_owned();
        let (connections, process) = if self.in_process {
            let store: Arc<dyn EventStore> = Arc::new(FloorStore::open(&directory, target::system_clock())?);
            (vec![store], None)
        } else {
            let arguments = ["floor-server".as_ref(), "--dir".as_ref(), directory.as_os_str()];
            let process = Process::start(&arguments, &[]).await?;
            (connect(common, &process.url).await?.0, Some(process))
        };
        Ok(self.baseline("floor", connections, process, Some(temporary)))
    }

    /// Raw COPY into the same database; `None` where the store is on none. In process beside one in process, else behind
    /// a port as this one is.
    pub(super) async fn copy(&self, common: &Common) -> Result<Option<Subject>, Failure> {
        let Some(url) = self.store.as_ref().filter(|url| target::is_postgres(url)) else { return Ok(None) };
        let url = scratch::new_store(common, url)?;
        let (connections, process) = if self.in_process {
            let Some(location) = postgres_location(&url)? else { return Ok(None) };
            let copy = RawCopy::open(&location).await.map_err(|error| Failure::failed(error.reason))?;
            let store: Arc<dyn EventStore> = Arc::new(copy);
            (vec![store], None)
        } else {
            // Not among the arguments, which everybody on this machine can read: the URL may hold a password.
            let process = Process::start(&["floor-server", "--copy"], &[("PACIOLI_STORE", &url)]).await?;
            (connect(common, &process.url).await?.0, Some(process))
        };
        Ok(Some(self.baseline("raw COPY", connections, process, None)))
    }

    fn baseline(
        &self,
        name: &str,
        connections: Connections,
        process: Option<Process>,
        temporary: Option<TempDir>,
    ) -> Subject {
        Subject {
            connections,
            in_process: self.in_process,
            process,
            _temporary: temporary,
            ..Subject::of(name.to_owned(), self.directory.clone())
        }
    }

    /// Starts the server of the subject's store and connects to it.
    async fn spawn(&mut self, common: &Common) -> Result<(), Failure> {
        let url = self.store.clone().unwrap_or_default();
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--until-stdin-closes"];
        let process = Process::start(&arguments, &[("PACIOLI_STORE", &url)]).await?;
        (self.connections, self.clients) = connect(common, &process.url).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Lets go of the connections and ends what was started, as kill -9 does.
    pub(super) async fn stop(&mut self) -> Result<(), Failure> {
        self.connections.clear();
        self.clients.clear();
        if let Some(models) = self.models.take() {
            models.stop().await;
        }
        self.engine = None;
        self.schemas = None;
        match self.process.take() {
            Some(process) => Ok(process.kill().await?),
            None => Ok(()),
        }
    }

    /// Opens the same data again after [`Subject::stop`]; false where that is not ours to do.
    pub(super) async fn restart(&mut self, common: &Common) -> Result<bool, Failure> {
        let Some(url) = self.store.clone().filter(|url| !url.starts_with("memory:")) else { return Ok(false) };
        if self.in_process {
            let Opened { store, engine, schemas, .. } = target::open_store(&url, OpenOptions::default()).await?;
            (self.connections, self.engine, self.schemas) = (vec![store], Some(engine), Some(schemas));
        } else {
            self.spawn(common).await?;
        }
        Ok(true)
    }

    /// What a report calls it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How it is reached.
    pub(super) fn transport(&self) -> &'static str {
        if self.in_process { "in process" } else { "grpc" }
    }

    /// The connections to it.
    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// The same connections, whose reads come in this shape.
    pub(super) fn connections_in(&self, shape: &Shape) -> Connections {
        let reading = || Reading { shape: shape.clone(), ..Reading::default() };
        let seen = |store: &Arc<dyn EventStore>| match &self.schemas {
            Some(schemas) => schemas.view(Arc::clone(store), reading()),
            None => Arc::clone(store),
        };
        match self.in_process {
            true => self.connections.iter().map(seen).collect(),
            false => self.clients.iter().map(|client| Arc::new(client.with_shape(shape.clone())) as _).collect(),
        }
    }

    /// The registry of schemas: one handle for each connection.
    pub(super) fn registries(&self) -> Vec<Arc<dyn Registry>> {
        let here = self.schemas.iter().map(|schemas| OneRegistry::Here(schemas.clone()));
        let there = self.clients.iter().map(|client| OneRegistry::Server(client.clone()));
        here.chain(there).map(|one| Arc::new(one) as Arc<dyn Registry>).collect()
    }

    /// Registers the first `versions` of the schema that events of ten fields have.
    pub(super) async fn register(&self, versions: usize) -> Result<(), Failure> {
        let registries = self.registries();
        let registry = registries.first().ok_or_else(|| Failure::usage("--connections must be at least 1"))?;
        for step in &VERSIONS[..versions] {
            registry.register(EVENT_TYPE, step).await?;
        }
        Ok(())
    }

    /// What keeps the read models, in process.
    pub(super) fn engine(&self) -> Option<&EngineSource> {
        self.engine.as_ref()
    }

    /// The read model of the whole log, where the store has one and it is known here which store that is.
    pub(super) fn rewind(&self) -> Option<ReadModel> {
        match &self.engine {
            Some(engine) => engine.rewind().map(|(_, text)| ReadModel::rewind(text)),
            None => {
                let is_sqlite = self.store.as_ref().is_some_and(|url| url.starts_with("sqlite:"));
                is_sqlite.then(|| ReadModel::rewind(pacioli_sqlite::models::REWIND))
            }
        }
    }

    /// The read models, one handle for each connection. In process the projections run from the first call on.
    pub(super) async fn models(&mut self, common: &Common) -> Result<Vec<Arc<dyn Models>>, Failure> {
        let Some(engine) = &self.engine else {
            let model = |client: &Client| Arc::new(HttpModels::of(client)) as Arc<dyn Models>;
            return Ok(self.clients.iter().map(model).collect());
        };
        if self.models.is_none() {
            self.models = Some(Box::pin(engine.open_read_models(OpenReadModels::default())).await?);
        }
        let handles = self.models.iter().cycle().take(common.connections);
        Ok(handles.map(|models| Arc::new(models.clone()) as Arc<dyn Models>).collect())
    }

    /// The connections that go over the network.
    pub(super) fn network_connections(&self) -> usize {
        if self.in_process { 0 } else { self.connections.len() }
    }

    /// Where the data lies; of a server elsewhere, where the floor's data will.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where it is on PostgreSQL, where it is and this run opened it.
    pub(super) fn location(&self) -> Result<Option<Location>, Failure> {
        Ok(self.store.as_deref().map(postgres_location).transpose()?.flatten())
    }

    /// The bytes of its files or tables, where they are at hand, and by part where the parts are known.
    pub(super) async fn disk(&self) -> Result<(Option<u64>, Vec<DiskPart>), Failure> {
        if let Some(location) = self.location()? {
            let parts = bench::disk_parts(&location).await.map_err(|error| Failure::failed(error.reason))?;
            let parts: Vec<DiskPart> = parts.into_iter().map(|(part, bytes)| DiskPart { part, bytes }).collect();
            return Ok((Some(parts.iter().map(|part| part.bytes).sum()), parts));
        }
        let at_hand = self.store.as_ref().is_some_and(|url| url.starts_with("sqlite:"));
        Ok((at_hand.then(|| pacioli_bench::machine::directory_bytes(&self.directory)), Vec::new()))
    }

    /// The memory of the process that serves it, where that is known.
    pub(super) fn resident_bytes(&self) -> Option<u64> {
        let pid = if self.in_process { Some(std::process::id()) } else { self.process.as_ref()?.id() };
        pacioli_bench::machine::resident_bytes(pid?)
    }
}

async fn connect(common: &Common, url: &str) -> Result<(Connections, Vec<Client>), Failure> {
    let (mut connections, mut clients): (Connections, Vec<Client>) = (Vec::new(), Vec::new());
    for _ in 0..common.connections {
        let connected = common.store.connect(url).await?;
        connections.push(connected.store());
        if let Target::Server(client) = connected {
            clients.push(client);
        }
    }
    Ok((connections, clients))
}

fn temporary(common: &Common) -> Result<TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    let directory = builder.prefix("pacioli-bench-").disable_cleanup(common.keep).tempdir_in(&common.dir);
    let directory =
        directory.map_err(Failure::io(format!("could not make a directory in {}", common.dir.display())))?;
    note(&format!("temporary data in {}", directory.path().display()));
    Ok(directory)
}
