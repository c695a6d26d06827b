//! `pacioli`: the one binary. It parses, opens a store, calls one command and turns the result into an exit code.
//!
//! Every command lives in a file of its own below `commands/` and works on `Arc<dyn EventStore>`, so it does not know
//! whether the store is behind a port or in this process.
//!
//! **Invariants.** Data goes to standard output and everything else to standard error. Nothing is printed with the
//! macros that panic on a closed pipe.

mod commands;
mod failure;
mod host;
mod ndjson;
mod output;
mod pipeline;
mod progress;
mod read_models;
mod shape;
mod target;

use std::process::ExitCode;

use clap::Parser;
use failure::Failure;

/// Many small allocations made on one thread and freed on another are what a store does; mimalloc is good at it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = match commands::Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => {
            // Help and version are data, and clap prints them to standard output; a closed pipe is nobody's error.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(Box::pin(command.run()));
            // A thread that still reads standard input must not keep a finished command alive.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::failed(format!("could not start the runtime: {error}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
