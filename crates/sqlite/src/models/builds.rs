//! The builds there are, as one value that never changes: whoever works on it sees one moment of the catalogue.

use std::sync::{Arc, OnceLock};

use pacioli_projection::engine::{Build, BuildNumber, Role};
use pacioli_projection::file::Name;

use super::build::{BuildFile, Stands};
use super::catalogue::Listed;
use super::window::Window;
use crate::error::{Error, Result};

/// All builds, by name and number.
#[derive(Debug, Default)]
pub(super) struct Builds {
    pub(super) all: Vec<Known>,
    window: OnceLock<std::result::Result<Window, String>>,
}

/// One build.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) listed: Listed,
    pub(super) file: Arc<BuildFile>,
}

impl Builds {
    pub(super) fn new(all: Vec<Known>) -> Builds {
        Builds { all, window: OnceLock::new() }
    }

    pub(super) fn find(&self, name: &Name, number: BuildNumber) -> Option<&Known> {
        self.all.iter().find(|build| build.listed.number == number && build.listed.projection.name == *name)
    }

    pub(super) fn of_role(&self, name: &Name, role: Role) -> Option<&Known> {
        self.all.iter().find(|build| build.listed.role == role && build.listed.projection.name == *name)
    }

    /// What queries see of them.
    pub(super) fn window(&self) -> Result<&Window> {
        let window = self.window.get_or_init(|| Window::new(self).map_err(|error| error.to_string()));
        window.as_ref().map_err(|error| Error::Store(error.clone()))
    }
}

impl Known {
    pub(super) fn is(&self, name: &Name, number: BuildNumber) -> bool {
        self.listed.number == number && self.listed.projection.name == *name
    }

    /// As the contract says it.
    pub(super) fn as_build(&self) -> Build {
        let listed = &self.listed;
        let Stands { progress, passed_over } = self.file.stands().clone();
        Build {
            projection: Arc::clone(&listed.projection),
            number: listed.number,
            role: listed.role,
            state: listed.state.clone(),
            progress,
            passed_over,
            workers: listed.workers,
            began_at: listed.began_at,
            served_at: listed.served_at,
        }
    }
}
