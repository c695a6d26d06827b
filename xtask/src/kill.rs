//! `cargo x kill`: the campaign of the kill test, as long as asked.

use anyhow::Result;

use crate::run;

/// Runs the kill test in the release profile. A failure keeps the history and the store, and says where.
pub(crate) fn run(kills: u64, seed: u64) -> Result<()> {
    let mut test = run::cargo();
    test.args(["test", "--release", "--package", "pacioli-cli", "--test", "kill", "--", "--nocapture"])
        .env("PACIOLI_KILLS", kills.to_string())
        .env("PACIOLI_SEED", seed.to_string());
    let advice = "a promise was broken, or the campaign could not run; the same again";
    run::check(&mut test, &format!("{advice}: cargo x kill --kills {kills} --seed {seed}"))
}
