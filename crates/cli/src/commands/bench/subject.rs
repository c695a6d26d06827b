//! What is measured: a store in this process, a server that runs already, or one that is started for the run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pacioli_bench::Connections;
use pacioli_bench::child::Process;
use pacioli_bench::floor::FloorStore;
use pacioli_bench::grow::DiskPart;
use pacioli_core::EventStore;
use pacioli_postgres::baseline::RawCopy;
use pacioli_postgres::{Location, bench};
use pacioli_server::{OpenOptions, data_directory, postgres_location};
use tempfile::TempDir;

use super::{Common, note, scratch};
use crate::failure::Failure;
use crate::target::{self, Place};

/// A store under load. What was started or made for it goes with it.
pub(super) struct Subject {
    name: String,
    connections: Connections,
    in_process: bool,
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
            Place::Server(url) => Ok(Subject {
                connections: connect(common, &url).await?,
                name: url,
                in_process: false,
                process: None,
                store: None,
                directory: common.dir.clone(),
                _temporary: None,
            }),
            Place::Store(url) if url == "sqlite:" => {
                let temporary = temporary(common)?;
                let url = format!("sqlite:{}", temporary.path().display());
                Ok(Subject { _temporary: Some(temporary), ..Subject::in_process(common, url).await? })
            }
            Place::Store(url) if target::is_postgres(&url) => {
                Subject::in_process(common, scratch::new_store(common, &url)?).await
            }
            Place::Store(url) => Subject::in_process(common, url).await,
        }
    }

    async fn in_process(common: &Common, url: String) -> Result<Subject, Failure> {
        Ok(Subject {
            name: url.split(':').next().unwrap_or(&url).to_owned() + ": in this process",
            connections: vec![target::open_store(&url, OpenOptions::default()).await?.store],
            in_process: true,
            process: None,
            directory: data_directory(&url).map_or_else(|| common.dir.clone(), PathBuf::from),
            store: Some(url),
            _temporary: None,
        })
    }

    async fn spawned(name: &str, common: &Common, url: String, temporary: Option<TempDir>) -> Result<Subject, Failure> {
        let directory = temporary.as_ref().map_or_else(|| common.dir.clone(), |made| made.path().to_owned());
        let mut subject = Subject {
            name: name.to_owned(),
            connections: Vec::new(),
            in_process: false,
            process: None,
            store: Some(url),
            directory,
            _temporary: temporary,
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
            (connect(common, &process.url).await?, Some(process))
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
            (connect(common, &process.url).await?, Some(process))
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
            name: name.to_owned(),
            connections,
            in_process: self.in_process,
            process,
            store: None,
            directory: self.directory.clone(),
            _temporary: temporary,
        }
    }

    /// Starts the server of the subject's store and connects to it.
    async fn spawn(&mut self, common: &Common) -> Result<(), Failure> {
        let url = self.store.clone().unwrap_or_default();
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--until-stdin-closes"];
        let process = Process::start(&arguments, &[("PACIOLI_STORE", &url)]).await?;
        self.connections = connect(common, &process.url).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Lets go of the connections and ends what was started, as kill -9 does.
    pub(super) async fn stop(&mut self) -> Result<(), Failure> {
        self.connections.clear();
        match self.process.take() {
            Some(process) => Ok(process.kill().await?),
            None => Ok(()),
        }
    }

    /// Opens the same data again after [`Subject::stop`]; false where that is not ours to do.
    pub(super) async fn restart(&mut self, common: &Common) -> Result<bool, Failure> {
        let Some(url) = self.store.clone().filter(|url| !url.starts_with("memory:")) else { return Ok(false) };
        if self.in_process {
            self.connections = vec![target::open_store(&url, OpenOptions::default()).await?.store];
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

async fn connect(common: &Common, url: &str) -> Result<Connections, Failure> {
    let mut connections: Connections = Vec::new();
    for _ in 0..common.connections {
        connections.push(common.store.connect(url).await?.store());
    }
    Ok(connections)
}

fn temporary(common: &Common) -> Result<TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    let directory = builder.prefix("pacioli-bench-").disable_cleanup(common.keep).tempdir_in(&common.dir);
    let directory =
        directory.map_err(Failure::io(format!("could not make a directory in {}", common.dir.display())))?;
    note(&format!("temporary data in {}", directory.path().display()));
    Ok(directory)
}
