//! `pacioli projection`: the projections that keep read models up to date.

mod add;
mod list;
mod picture;
mod rebuild;
mod remove;
mod status;
mod steer;
mod told;
mod verify;

use clap::{Args, Subcommand};

use crate::failure::Failure;

/// Add, watch, rebuild and steer projections: SQL files that keep read models up to date
///
/// A projection folds the events of the log into tables of its own. Each command works on a running server, or with --store
/// on a store that no server has open.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli projection add balances.sql
  pacioli projection status --watch
  pacioli projection rebuild balances
  pacioli projection verify balances
  pacioli query "SELECT * FROM balances""#)]
pub(crate) struct Projection {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    Add(add::Add),
    List(list::List),
    Status(status::StatusCommand),
    Rebuild(rebuild::Rebuild),
    Cancel(steer::Cancel),
    Pause(steer::Pause),
    Resume(steer::Resume),
    Retry(steer::Retry),
    Skip(steer::Skip),
    Rollback(rebuild::Rollback),
    Verify(verify::Verify),
    Refresh(steer::Refresh),
    Drop(remove::Remove),
}

impl Projection {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Add(command) => command.run().await,
            Action::List(command) => command.run().await,
            Action::Status(command) => command.run().await,
            Action::Rebuild(command) => command.run().await,
            Action::Cancel(command) => command.run().await,
            Action::Pause(command) => command.run().await,
            Action::Resume(command) => command.run().await,
            Action::Retry(command) => command.run().await,
            Action::Skip(command) => command.run().await,
            Action::Rollback(command) => command.run().await,
            Action::Verify(command) => command.run().await,
            Action::Refresh(command) => command.run().await,
            Action::Drop(command) => command.run().await,
        }
    }
}
