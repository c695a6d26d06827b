//! `pacioli projection rebuild` and `rollback`: another build comes to serve while the old one goes on.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::told::{self, Told, path};
use crate::failure::Failure;
use crate::output::{OutputArgs, grouped};
use crate::progress::Progress;
use crate::read_models::ReadModelsDoor;
use crate::target::StoreArgs;

/// How often a build is looked at while somebody waits for it.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Steps of the bar.
const BAR_STEPS: f64 = 10_000.0;

/// Fill a projection's tables anew from the start of the log, while the old ones serve
///
/// When the new tables are at the head they take over in one transaction, and the old ones are kept for `rollback`.
/// Ctrl-C leaves the rebuild running.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli projection rebuild balances
  pacioli projection rebuild balances --parallel 4
  pacioli projection rebuild balances --no-wait
  pacioli projection cancel balances"#)]
pub(super) struct Rebuild {
    /// The projection
    name: String,
    /// So many workers share its streams, where its file says `parallel-by: stream`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    parallel: Option<u16>,
    /// Do not wait for it
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Rebuild {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let told = ReadModelsDoor::with(&self.store, false, async |door| {
            let body = json!({ "parallel": self.parallel });
            let told: Told = door.command(path(&self.name, "/rebuild"), &body).await?;
            if self.no_wait { Ok(told) } else { taken_over(door, told).await }
        });
        told::print(&told.await?, self.output.form())
    }
}

/// Let the version before serve again, once it is at the head
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli projection rollback balances"#)]
pub(super) struct Rollback {
    /// The projection
    name: String,
    /// Do not wait for it
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Rollback {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let told = ReadModelsDoor::with(&self.store, false, async |door| {
            let told: Told = door.command(path(&self.name, "/rollback"), &json!({})).await?;
            if self.no_wait { Ok(told) } else { taken_over(door, told).await }
        });
        told::print(&told.await?, self.output.form())
    }
}

/// Waits until the build that fills serves; shows how far it is.
pub(super) async fn taken_over(door: &ReadModelsDoor, begun: Told) -> Result<Told, Failure> {
    let name = begun.status.name.clone();
    tokio::select! {
        ended = followed(door, begun) => ended,
        _ = tokio::signal::ctrl_c() => Err(match door.is_in_process() {
            false => Failure::failed("stopped watching; the server goes on with it").hint(format!(
                "`pacioli projection status {name} --watch` shows it, `pacioli projection cancel {name}` gives it up."
            )),
            true => Failure::failed("interrupted; what is filled so far is kept").hint(format!(
                "The next server on this store goes on with it; `pacioli projection cancel {name}` gives it up."
            )),
        }),
    }
}

async fn followed(door: &ReadModelsDoor, mut told: Told) -> Result<Told, Failure> {
    let bar = Progress::new(Some(BAR_STEPS as u64));
    loop {
        let status = &told.status;
        let Some(building) = status.building else {
            bar.finish();
            return Ok(told);
        };
        if let Some(error) = status.error.as_ref().filter(|error| error.version == building) {
            bar.finish();
            let failure = Failure::failed(format!("v{building} stopped at {}: {}", error.place, error.error));
            return Err(failure.hint(format!(
                "What served still serves. Mend what it stumbled on and `pacioli projection retry {0}`, or give it up with \
                 `pacioli projection cancel {0}`.",
                status.name
            )));
        }
        let rate = grouped(status.events_per_second.round().max(0.0) as u64);
        let done = status.progress.unwrap_or(0.0).clamp(0.0, 1.0) * BAR_STEPS;
        bar.update(done as u64, format!("{} v{building}, {rate} events/s", status.name));
        tokio::time::sleep(LOOK_EVERY).await;
        let mut all = told::ask(door, Some(&status.name.clone())).await?;
        told = all.remove(0);
    }
}
