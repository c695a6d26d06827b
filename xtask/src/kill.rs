//! `cargo x kill`: the campaign of the kill test, as long as asked.

use anyhow::Result;
use clap::ValueEnum;

use crate::run;

/// What a campaign looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Of {
    /// The log and the read models, one after the other.
    All,
    /// The log: what was acknowledged, and what followers saw.
    Log,
    /// The read models, on both engines: each compared with an independent fold of the log.
    Models,
}

impl Of {
    /// The tests' names begin with this.
    fn filter(self) -> Option<&'static str> {
        match self {
            Of::All => None,
            Of::Log => Some("log::"),
            Of::Models => Some("models::"),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Of::All => "all",
            Of::Log => "log",
            Of::Models => "models",
        }
    }
}

/// Runs the kill test in the release profile. A failure keeps the history and the store, and says where.
pub(crate) fn run(kills: u64, seed: u64, of: Of) -> Result<()> {
    let mut test = run::cargo();
    test.args(["test", "--release", "--package", "pacioli-cli", "--test", "kill", "--", "--nocapture"])
        .args(of.filter())
        .env("PACIOLI_KILLS", kills.to_string())
        .env("PACIOLI_SEED", seed.to_string());
    let advice = "a promise was broken, or the campaign could not run; the same again";
    run::check(&mut test, &format!("{advice}: cargo x kill --kills {kills} --seed {seed} --of {}", of.word()))
}
