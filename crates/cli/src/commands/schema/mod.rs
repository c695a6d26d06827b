//! `pacioli schema`: the registry of what events may look like.

mod check;
mod delete;
mod diff;
mod impact;
mod list;
mod offer;
mod readers;
mod register;
mod set;
mod show;
mod told;

use clap::{Args, Subcommand};

pub(super) use told::registered_line;

use crate::failure::Failure;

/// Register, compare and retire the schemas of event types
///
/// A schema says what the data of a type's events may look like. Once a type has one, events that are not like that are
/// refused at every door. Each command works on a running server, or with --store on a store that no server has open.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli schema register MoneyDeposited money-deposited.json
  pacioli schema diff MoneyDeposited@2 money-deposited.json
  pacioli schema impact MoneyDeposited
  pacioli schema register MoneyDeposited money-deposited.json --upcaster to-3.json
  pacioli schema list"#)]
pub(crate) struct Schema {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    Register(register::Register),
    Check(check::Check),
    Diff(diff::Diff),
    Impact(impact::ImpactCommand),
    Readers(readers::Readers),
    List(list::List),
    Show(show::Show),
    Delete(delete::Delete),
    Level(set::LevelCommand),
    Mode(set::ModeCommand),
}

impl Schema {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Register(command) => command.run().await,
            Action::Check(command) => command.run().await,
            Action::Diff(command) => command.run().await,
            Action::Impact(command) => command.run().await,
            Action::Readers(command) => command.run().await,
            Action::List(command) => command.run().await,
            Action::Show(command) => command.run().await,
            Action::Delete(command) => command.run().await,
            Action::Level(command) => command.run().await,
            Action::Mode(command) => command.run().await,
        }
    }
}
