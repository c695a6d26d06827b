//! The commands, each in a file of its own, in the order in which `pacioli help` shows them.

mod append;
mod backup;
mod bench;
mod check;
mod completions;
mod demo;
mod diff;
mod doctor;
mod export;
mod floor_server;
mod head;
mod import;
mod index;
mod init;
mod log;
mod maintain;
mod projection;
mod query;
mod read;
mod rows;
mod schema;
mod serve;
mod streams;
mod token;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 conflict, 4 not found.

Data goes to standard output: a table on a terminal, one JSON object a line in a pipe.
Everything else goes to standard error.

First steps:
  pacioli demo      see what it does, in ten seconds
  pacioli serve     start a server that keeps its events in ./pacioli-data";

/// Pacioli keeps events: append them, read them, follow them. It never erases one.
#[derive(Parser, Debug)]
#[command(name = "pacioli", version, after_help = AFTER_HELP, max_term_width = 110, propagate_version = false)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Demo(demo::Demo),
    Serve(serve::Serve),
    Append(append::AppendCommand),
    Read(read::Read),
    Log(log::Log),
    Streams(streams::Streams),
    Head(head::Head),
    Projection(projection::Projection),
    Schema(schema::Schema),
    Check(check::Check),
    Query(query::Query),
    Diff(diff::Diff),
    Import(import::Import),
    Export(export::Export),
    Backup(backup::Backup),
    Init(init::Init),
    Maintain(maintain::Maintain),
    Doctor(doctor::Doctor),
    Index(index::IndexCommand),
    Token(token::Token),
    Bench(bench::Bench),
    Completions(completions::Completions),
    #[command(hide = true)]
    FloorServer(floor_server::FloorServer),
}

impl Command {
    /// Runs the command to its end.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Command::Demo(command) => command.run().await,
            Command::Serve(command) => command.run().await,
            Command::Append(command) => command.run().await,
            Command::Read(command) => command.run().await,
            Command::Log(command) => command.run().await,
            Command::Streams(command) => command.run().await,
            Command::Head(command) => command.run().await,
            Command::Projection(command) => command.run().await,
            Command::Schema(command) => command.run().await,
            Command::Check(command) => command.run().await,
            Command::Query(command) => command.run().await,
            Command::Diff(command) => command.run().await,
            Command::Import(command) => command.run().await,
            Command::Export(command) => command.run().await,
            Command::Backup(command) => command.run().await,
            Command::Init(command) => command.run().await,
            Command::Maintain(command) => command.run().await,
            Command::Doctor(command) => command.run().await,
            Command::Index(command) => command.run().await,
            Command::Token(command) => command.run(),
            Command::Bench(command) => command.run().await,
            Command::Completions(command) => command.run(),
            Command::FloorServer(command) => command.run().await,
        }
    }
}
