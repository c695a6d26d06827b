//! The tables of the engine in memory, and its catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use pacioli_core::Timestamp;
use pacioli_core::place::{Checkpoint, Place};
use pacioli_projection::engine::{Build, BuildNumber, Role};
use pacioli_projection::file::Name;

/// The tables and the catalogue.
#[derive(Default)]
pub(crate) struct Database {
    tables: Mutex<Tables>,
}

#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) builds: Vec<Stored>,
    pub(super) last_number: BTreeMap<Name, u32>,
    /// Events that fail, by projection.
    pub(crate) poison: BTreeMap<String, BTreeSet<Place>>,
    /// Batches of more events than this fail, though no event does.
    pub(crate) fails_together_over: Option<usize>,
    pub(crate) copies: Vec<(Name, BuildNumber, Checkpoint)>,
    pub(crate) refreshed: Vec<(String, Timestamp)>,
    pub(crate) workers_max: u16,
    pub(crate) no_sync: bool,
    pub(crate) begun: u32,
}

/// One build with its rows.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) build: Build,
    pub(crate) rows: BTreeMap<String, Row>,
    /// Every event that was applied, each time it was.
    pub(crate) applied: Vec<Place>,
}

/// One stream's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) events: i64,
    pub(crate) last: u64,
}

impl Database {
    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap()
    }
}

impl Tables {
    pub(crate) fn find(&mut self, name: &Name, number: BuildNumber) -> Option<&mut Stored> {
        self.builds.iter_mut().find(|stored| stored.build.projection.name == *name && stored.build.number == number)
    }

    pub(crate) fn serving(&self, name: &str) -> Option<&Stored> {
        let serves =
            |stored: &&Stored| stored.build.projection.name.as_str() == name && stored.build.role == Role::Serving;
        self.builds.iter().find(serves)
    }

    pub(crate) fn role(&self, name: &str, role: Role) -> Option<&Stored> {
        let has = |stored: &&Stored| stored.build.projection.name.as_str() == name && stored.build.role == role;
        self.builds.iter().find(has)
    }

    pub(super) fn owner(&self, table: &str) -> Option<&Stored> {
        self.builds.iter().find(|stored| {
            stored.build.role == Role::Serving && stored.build.projection.relations().any(|owned| owned == table)
        })
    }
}
