//! Where a store and its read models lie, and how they are read without any server.

mod postgres;
mod sqlite;

use std::path::Path;

use serde_json::Value;

use crate::models::fold::{Fact, Stand, Tables};

pub(crate) use postgres::Postgres;
pub(crate) use sqlite::Sqlite;

/// A store with read models, as it lies there.
pub(crate) trait Stage: Send + Sync {
    /// The engine's name.
    fn engine(&self) -> &'static str;

    /// What `serve` has to be told to serve it.
    fn options(&self) -> Vec<String>;

    /// Reads all builds, each with its rows and with where it stands as of one moment, and then the log.
    fn look(&self, serves: Serves) -> Look;

    /// Files or schemas that belong to no build and no copy.
    fn strangers(&self) -> Vec<String>;

    /// Keeps what there is in a folder, for whoever looks for the cause of a failure.
    fn keep(&self, folder: &Path);
}

/// Whether a server runs while somebody looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Serves {
    Yes,
    No,
}

/// What somebody saw.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) builds: Vec<Seen>,
    /// All of it, by partition and position.
    pub(crate) log: Vec<Fact>,
}

/// A build as of one moment.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) number: u64,
    /// `serving`, `filling` or `kept`; `queried` for what a query by the table's name saw.
    pub(crate) role: String,
    pub(crate) stands: Vec<Stand>,
    pub(crate) tables: Tables,
}

impl Seen {
    /// The least position of all workers in each partition.
    pub(crate) fn least(&self) -> Vec<(u64, u64)> {
        let mut least: Vec<(u64, u64)> = Vec::new();
        for stand in &self.stands {
            match least.iter_mut().find(|(partition, _)| *partition == stand.partition) {
                Some((_, position)) => *position = stand.position.min(*position),
                None => least.push((stand.partition, stand.position)),
            }
        }
        least.sort_unstable();
        least
    }
}

fn data(text: &str) -> serde_json::Map<String, Value> {
    // What the system itself records is no object of ours, and is folded by nobody here.
    serde_json::from_str(text).unwrap_or_default()
}
