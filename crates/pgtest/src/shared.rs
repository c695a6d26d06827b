//! The one cluster for the tests of a process that need no more than a database of their own.

use std::sync::OnceLock;

use crate::cluster::Cluster;
use crate::options::ClusterOptions;

/// The cluster that the tests of this process share, with default options; the first call makes it.
///
/// Nobody drops it: the watchdog stops it and removes its directory when the process has ended.
///
/// # Panics
///
/// When it cannot be made. The text says why.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| match Cluster::start(ClusterOptions::default()) {
        Ok(cluster) => cluster,
        Err(error) => panic!("there is no PostgreSQL to test with: {error}"),
    })
}

/// The URL of a new database in the [`shared`] cluster, whose name begins with the label.
///
/// # Panics
///
/// When there is no cluster, or it makes no database. The text says why.
pub fn database_url(label: &str) -> String {
    let cluster = shared();
    match cluster.create_database(label) {
        Ok(name) => cluster.url(&name),
        Err(error) => panic!("PostgreSQL makes no database to test with: {error}"),
    }
}
