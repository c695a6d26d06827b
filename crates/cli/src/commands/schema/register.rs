//! `pacioli schema register`

use std::io::Write;

use clap::Args;
use pacioli_api::json;

use super::offer::{Offer, refused};
use super::told::{print_changes, registered_line};
use crate::failure::Failure;
use crate::output::{Form, OutputArgs};
use crate::target::StoreArgs;

/// Register a schema of an event type
///
/// It gets the next number of the type (what events say as their schema_version) and a semantic version, which must not
/// understate what changed. From then on events of the type have to be like it, at every door and on every server. The same
/// schema again does nothing. What is refused exits 2 where the schema or its version is wrong, and 1 where it would break
/// somebody.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli schema register MoneyDeposited money-deposited.json
  pacioli schema register MoneyDeposited money-deposited.json --semver 1.1.0 --dry-run
  pacioli schema register MoneyDeposited money-deposited.json --upcaster to-3.json --acknowledge balances
  pacioli schema register OrderPlaced order.avsc
  pacioli schema register OrderPlaced order.json --reference money.json=Money@1"#)]
pub(super) struct Register {
    #[command(flatten)]
    offer: Offer,
    /// Say what would become of it, and register nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Register {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let registered = self.offer.send(&self.store, self.dry_run).await?.map_err(refused)?;
        let mut out = std::io::stdout().lock();
        match self.output.form() {
            Form::Json => writeln!(out, "{}", json::to_string(&registered))?,
            Form::Table => {
                let what = match (registered.is_known, self.dry_run) {
                    (true, _) => "is registered already:",
                    (false, true) => "would be registered as",
                    (false, false) => "is registered as",
                };
                writeln!(out, "{}", registered_line(&registered, what))?;
                print_changes(&mut out, &registered.changes)?;
            }
        }
        Ok(out.flush()?)
    }
}
