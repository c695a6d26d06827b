//! `cargo x campaign`: the campaign of random schema changes under readers of every kind, as long as asked.

use anyhow::Result;
use clap::ValueEnum;

use crate::{postgres, run};

/// Which store the campaign runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum On {
    /// Each, one after the other.
    All,
    /// In memory.
    Memory,
    /// On SQLite.
    Sqlite,
    /// On PostgreSQL.
    Postgres,
}

impl On {
    /// The tests' names have this.
    fn filter(self) -> &'static str {
        match self {
            On::All => "schemas_change_under_readers::",
            On::Memory => "does_not_understand_in_memory",
            On::Sqlite => "does_not_understand_on_sqlite",
            On::Postgres => "does_not_understand_on_postgres",
        }
    }

    fn word(self) -> &'static str {
        match self {
            On::All => "all",
            On::Memory => "memory",
            On::Sqlite => "sqlite",
            On::Postgres => "postgres",
        }
    }
}

/// Runs the campaign in the release profile. A failure says the seed that makes it again.
pub(crate) fn run(changes: u64, seed: u64, on: On) -> Result<()> {
    if matches!(on, On::All | On::Postgres) {
        postgres::ensure()?;
    }
    let mut test = run::cargo();
    test.args(["test", "--release", "--package", "pacioli-server", "--test", "main", "--", "--nocapture"])
        .args(["--test-threads", "1", on.filter()])
        .env("PACIOLI_SCHEMA_CHANGES", changes.to_string())
        .env("PACIOLI_SEED", seed.to_string());
    let advice =
        "a reader got what it did not understand or lost an event, or the campaign could not run; the same again";
    run::check(&mut test, &format!("{advice}: cargo x campaign --changes {changes} --seed {seed} --on {}", on.word()))
}
