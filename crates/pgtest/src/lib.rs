//! Private PostgreSQL clusters for tests: found, made, started, broken and thrown away without a word from the tester.
//!
//! A test that needs only a database of its own takes one of the cluster that its process shares:
//!
//! ```no_run
//! let url = pacioli_pgtest::database_url("appends_are_ordered");
//! // postgres://postgres@/appends_are_ordered_1?host=/tmp/pacioli-pg-4711-0&port=5432
//! # let _ = url;
//! ```
//!
//! A test that breaks something has a cluster to itself, with `fsync` on if it is about durability:
//!
//! ```no_run
//! use pacioli_pgtest::{Cluster, ClusterOptions, Shutdown, StandbyOptions};
//!
//! # fn main() -> Result<(), pacioli_pgtest::Error> {
//! let primary = Cluster::start(ClusterOptions { fsync: true, ..ClusterOptions::default() })?;
//! primary.kill()?; // SIGKILL to every process of it
//! primary.boot()?; // and up again, after crash recovery
//!
//! primary.configure(&[("wal_level", "replica")])?;
//! primary.restart(Shutdown::Fast)?;
//!
//! let standby = primary.standby(StandbyOptions::default())?;
//! primary.kill()?;
//! standby.promote()?;
//! primary.rewind_from(&standby, StandbyOptions::default())?; // the old primary rejoins as a standby
//! # Ok(())
//! # }
//! ```
//!
//! Everything works as root too, where PostgreSQL refuses to run: its programs then run as the user `postgres`.
//! A cluster goes away, with its processes and its directory, when the value is dropped, when the test panics and when
//! the test's process is killed: see `watchdog.sh`.
//!
//! **Invariants.** No driver and no async runtime: any test can use this crate. It listens on a unix socket in a
//! directory of its own, and on 127.0.0.1 only where a test asks. It is for tests alone: no crate depends on it but for
//! its tests, and the project's own commands.

mod binaries;
mod cluster;
mod error;
mod options;
mod places;
mod processes;
mod server_user;
mod shared;
mod sql;
mod standby;
mod template;
mod watchdog;

pub use binaries::Binaries;
pub use cluster::Cluster;
pub use error::Error;
pub use options::{ClusterOptions, Shutdown, StandbyOptions};
pub use server_user::ServerUser;
pub use shared::{database_url, shared};
pub use sql::Row;
