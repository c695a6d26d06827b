//! A store with all projections, its servers, and the folder that is kept when something goes wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::stage::{Postgres, Sqlite, Stage};
use crate::say;
use crate::server::Server;

/// The files, with the names of their projections.
pub(crate) const FILES: [(&str, &str); 4] = [
    ("balances", include_str!("projections/balances.sql")),
    ("totals", include_str!("projections/totals.sql")),
    ("streams", include_str!("projections/streams.sql")),
    ("limits", include_str!("projections/limits.sql")),
];

/// The engines under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// A store with projections. Kept and named when the test that made it panics.
pub(crate) struct World {
    folder: Option<tempfile::TempDir>,
    pub(crate) stage: Arc<dyn Stage>,
    pub(crate) engine: Engine,
    /// What is said of it when it is kept.
    title: String,
}

impl World {
    /// A store that is not there yet, and a directory of projections.
    pub(crate) fn new(engine: Engine, partitions: u64, title: String) -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let stage: Arc<dyn Stage> = match engine {
            Engine::Sqlite => Arc::new(Sqlite::new(folder.path(), partitions)),
            Engine::Postgres => Arc::new(Postgres::new("read_models", partitions)),
        };
        std::fs::create_dir(folder.path().join("projections")).expect("a directory");
        let world = World { folder: Some(folder), stage, engine, title };
        FILES.iter().for_each(|(name, text)| world.write(name, text));
        world
    }

    /// The names of the projections that run.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        names.push("rewind");
        names
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.as_ref().expect("it is there until the end").path()
    }

    fn projections(&self) -> PathBuf {
        self.folder().join("projections")
    }

    /// Puts a file into the directory that servers read at their start.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.projections().join(format!("{name}.sql")), text).expect("a file can be written");
    }

    /// Starts a server on it.
    pub(crate) fn serve(&self) -> Server {
        let mut options = self.stage.options();
        options.extend(["--projections".to_owned(), self.projections().display().to_string(), "--rewind".to_owned()]);
        options.extend(["--log-level".to_owned(), "info,pacioli=debug,pgwire_replication=off".to_owned()]);
        Server::start(&options, &self.folder().join("server.log"), &[])
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            let kept = folder.keep();
            self.stage.keep(&kept);
            say(&format!("{}: the store is kept in {}", self.title, kept.display()));
        }
    }
}
