//! What is measured: a store in this process, a server that runs already, or one that is started for the run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pacioli_bench::Connections;
use pacioli_bench::child::Process;
use pacioli_bench::floor::FloorStore;
use pacioli_server::OpenOptions;
use tempfile::TempDir;

use super::{Common, note};
use crate::failure::Failure;
use crate::target::{self, Place};

/// A store under load. What was started or made for it goes with it.
pub(super) struct Subject {
    name: String,
    connections: Connections,
    in_process: bool,
    process: Option<Process>,
    /// Where the data lies, or would lie.
    directory: PathBuf,
    temporary: Option<TempDir>,
}

impl Subject {
    /// Opens or starts what the options name.
    pub(super) async fn start(common: &Common) -> Result<Subject, Failure> {
        if common.connections == 0 {
            return Err(Failure::usage("--connections must be at least 1"));
        }
        if common.spawns() {
            if !common.spawn_server {
                note("no --server or --store was given: starting a server of its own, as --spawn-server does");
            }
            let temporary = temporary(common)?;
            let mut subject = Subject {
                name: "a server of its own".to_owned(),
                connections: Vec::new(),
                in_process: false,
                process: None,
                directory: temporary.path().to_owned(),
                temporary: Some(temporary),
            };
            subject.spawn(common).await?;
            return Ok(subject);
        }
        match common.store.place()? {
            Place::Server(url) => Ok(Subject {
                connections: connect(common, &url).await?,
                name: url,
                in_process: false,
                process: None,
                directory: common.dir.clone(),
                temporary: None,
            }),
            Place::Store(url) if url == "sqlite:" => {
                let temporary = temporary(common)?;
                let url = format!("sqlite:{}", temporary.path().display());
                Ok(Subject { temporary: Some(temporary), ..Subject::in_process(common, &url).await? })
            }
            Place::Store(url) => Subject::in_process(common, &url).await,
        }
    }

    async fn in_process(common: &Common, url: &str) -> Result<Subject, Failure> {
        let directory = url.strip_prefix("sqlite:").map_or_else(|| common.dir.clone(), PathBuf::from);
        Ok(Subject {
            name: url.split(':').next().unwrap_or(url).to_owned() + ": in this process",
            connections: vec![target::open_store(url, OpenOptions::default()).await?.store],
            in_process: true,
            process: None,
            directory,
            temporary: None,
        })
    }

    /// The floor for this subject: in process beside one in process, else behind a port as this one is.
    pub(super) async fn floor(&self, common: &Common) -> Result<Subject, Failure> {
        let temporary = temporary(common)?;
        let directory = temporary.path().to_owned();
        let (connections, process) = if self.in_process {
            let floor = FloorStore::open(&directory, target::system_clock())?;
            let store: Arc<dyn pacioli_core::EventStore> = Arc::new(floor);
            (vec![store], None)
        } else {
            let process = Process::start(&["floor-server".as_ref(), "--dir".as_ref(), directory.as_os_str()]).await?;
            (connect(common, &process.url).await?, Some(process))
        };
        let in_process = self.in_process;
        Ok(Subject {
            name: "floor".to_owned(),
            connections,
            in_process,
            process,
            directory,
            temporary: Some(temporary),
        })
    }

    /// Starts the server in the subject's directory and connects to it.
    pub(super) async fn spawn(&mut self, common: &Common) -> Result<(), Failure> {
        let data = self.directory.as_os_str();
        let arguments = [
            "serve".as_ref(),
            "--data".as_ref(),
            data,
            "--listen".as_ref(),
            "127.0.0.1:0".as_ref(),
            "--until-stdin-closes".as_ref(),
        ];
        let process = Process::start(&arguments).await?;
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
        if self.in_process {
            let url = format!("sqlite:{}", self.directory.display());
            if !self.name.starts_with("sqlite") {
                return Ok(false);
            }
            self.connections = vec![target::open_store(&url, OpenOptions::default()).await?.store];
            return Ok(true);
        }
        if self.temporary.is_none() {
            return Ok(false);
        }
        self.spawn(common).await?;
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

    /// The bytes of its files, where they are at hand.
    pub(super) fn disk_bytes(&self) -> Option<u64> {
        let at_hand = self.temporary.is_some() || (self.in_process && self.name.starts_with("sqlite"));
        at_hand.then(|| pacioli_bench::machine::directory_bytes(&self.directory))
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
    let directory = tempfile::Builder::new().prefix("pacioli-bench-").tempdir_in(&common.dir);
    let directory =
        directory.map_err(Failure::io(format!("could not make a directory in {}", common.dir.display())))?;
    note(&format!("temporary data in {}", directory.path().display()));
    Ok(directory)
}
