//! `pacioli floor-server`, hidden: the floor of a benchmark behind the same port and protocol as a real store.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use pacioli_bench::floor::FloorStore;

use crate::failure::Failure;
use crate::host::{Host, stdin_closed};
use crate::output::say;
use crate::target;

/// Serve the floor of a benchmark until standard input closes
#[derive(Args, Debug)]
pub(crate) struct FloorServer {
    /// Where to write
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

impl FloorServer {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let floor = FloorStore::open(&self.dir, target::system_clock())?;
        let host = Host::start(Arc::new(floor)).await?;
        say(&format!("the floor listens on {}", host.url()));
        stdin_closed().await;
        host.stop().await
    }
}
