//! What the engine's catalogue said last, and the one place that reads it again.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use crate::engine::{Build, Engine, EngineError, Role};
use crate::file::{Makes, Name};

/// Reads the catalogue and keeps what it said.
pub(crate) struct Catalogue {
    engine: Arc<dyn Engine>,
    latest: watch::Sender<Arc<Builds>>,
    /// Held while reading, so that what was read later is also published later.
    reading: Mutex<()>,
}

/// All builds of all projections, at one moment.
#[derive(Default)]
pub(crate) struct Builds {
    all: Vec<Arc<Build>>,
}

/// The builds of one projection.
#[derive(Clone, Default)]
pub(crate) struct Family {
    /// The one that queries read.
    pub(crate) serving: Option<Arc<Build>>,
    /// The one that will serve.
    pub(crate) filling: Option<Arc<Build>>,
    /// Others that fill, which two servers began at once.
    pub(crate) outrun: Vec<Arc<Build>>,
    /// The one that served before.
    pub(crate) kept: Option<Arc<Build>>,
}

impl Catalogue {
    pub(crate) async fn open(engine: Arc<dyn Engine>) -> Result<Catalogue, EngineError> {
        let catalogue = Catalogue { engine, latest: watch::Sender::default(), reading: Mutex::default() };
        catalogue.reload().await?;
        Ok(catalogue)
    }

    /// Reads it now. What it says is at least as new as this call.
    pub(crate) async fn reload(&self) -> Result<Arc<Builds>, EngineError> {
        let _reading = self.reading.lock().await;
        let all = self.engine.builds().await?.into_iter().map(Arc::new).collect();
        let builds = Arc::new(Builds { all });
        self.latest.send_replace(Arc::clone(&builds));
        Ok(builds)
    }

    /// What it said last.
    pub(crate) fn latest(&self) -> Arc<Builds> {
        Arc::clone(&self.latest.borrow())
    }

    /// Tells of every reading.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Builds>> {
        self.latest.subscribe()
    }
}

impl Builds {
    /// Every build.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Build>> {
        self.all.iter()
    }

    /// The names of all projections, in order.
    pub(crate) fn names(&self) -> Vec<Name> {
        let mut names: Vec<Name> = self.all.iter().map(|build| build.projection.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The builds of one projection; `None` where there is no such projection.
    ///
    /// Of several that fill, the one of the highest version counts, and of one version the first that began.
    pub(crate) fn family(&self, name: &Name) -> Option<Family> {
        let mut family = Family::default();
        let mut filling: Vec<Arc<Build>> = Vec::new();
        for build in self.all.iter().filter(|build| build.projection.name == *name) {
            match build.role {
                Role::Serving => family.serving = Some(Arc::clone(build)),
                Role::Kept => family.kept = Some(Arc::clone(build)),
                Role::Filling => filling.push(Arc::clone(build)),
            }
        }
        filling.sort_by_key(|build| (std::cmp::Reverse(build.projection.version), build.number));
        let mut filling = filling.into_iter();
        family.filling = filling.next();
        family.outrun = filling.collect();
        family.newest().is_some().then_some(family)
    }

    /// The serving build that has this table or view.
    pub(crate) fn owner(&self, relation: &str) -> Option<&Arc<Build>> {
        let owns = |build: &&Arc<Build>| {
            build.role == Role::Serving && build.projection.relations().any(|owned| owned == relation)
        };
        self.all.iter().find(owns)
    }
}

impl Family {
    /// Every build of it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Build>> {
        self.serving.iter().chain(&self.filling).chain(&self.outrun).chain(&self.kept)
    }

    /// Every build that fills.
    pub(crate) fn filling(&self) -> impl Iterator<Item = &Arc<Build>> {
        self.filling.iter().chain(&self.outrun)
    }

    /// The build of the highest version.
    pub(crate) fn newest(&self) -> Option<&Arc<Build>> {
        self.iter().max_by_key(|build| (build.projection.version, build.number))
    }

    /// The builds that are to advance or did until something stopped them: all but the kept one.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Arc<Build>> {
        self.serving.iter().chain(&self.filling)
    }
}

/// Whether the relation is a plain table of the build, whose rows only its own commits change.
pub(crate) fn is_table(build: &Build, relation: &str) -> bool {
    build.projection.definitions.iter().any(|definition| match &definition.makes {
        Makes::Table(name) | Makes::VirtualTable(name) => name == relation,
        _ => false,
    })
}
