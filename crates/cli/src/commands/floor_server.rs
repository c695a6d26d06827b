//! `pacioli floor-server`, hidden: the floor of a benchmark behind the same port and protocol as a real store.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use pacioli_bench::floor::FloorStore;
use pacioli_core::EventStore;
use pacioli_postgres::baseline::RawCopy;
use pacioli_server::{Models, postgres_location};

use crate::failure::Failure;
use crate::host::{Host, stdin_closed};
use crate::output::say;
use crate::target::{self, StoreUrl};

/// Serve the floor of a benchmark until standard input closes
#[derive(Args, Debug)]
pub(crate) struct FloorServer {
    /// Where to write
    #[arg(long, value_name = "DIR", required_unless_present = "copy")]
    dir: Option<PathBuf>,
    /// Copy the rows into a plain table of the database that PACIOLI_STORE names instead
    #[arg(long, conflicts_with = "dir")]
    copy: bool,
}

impl FloorServer {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let host =
            Host::start(self.open().await?, Models::Off { why: "it is the floor of a benchmark".to_owned() }, None)
                .await?;
        say(&format!("the floor listens on {}", host.url()));
        stdin_closed().await;
        host.stop().await
    }

    async fn open(&self) -> Result<Arc<dyn EventStore>, Failure> {
        if let Some(directory) = &self.dir {
            return Ok(Arc::new(FloorStore::open(directory, target::system_clock())?));
        }
        let url = StoreUrl::default().url()?;
        let Some(location) = postgres_location(&url)? else {
            return Err(Failure::usage("--copy needs a database on PostgreSQL"));
        };
        Ok(Arc::new(RawCopy::open(&location).await.map_err(|error| Failure::failed(error.reason))?))
    }
}
