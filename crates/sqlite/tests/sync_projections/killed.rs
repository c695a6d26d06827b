//! A process is killed at random moments while it appends under a `sync` projection and lets new versions of it serve: what it
//! acknowledged is in the log, and before the next append the tables hold what an independent fold of the log holds.
//!
//! A short seeded slice runs with the tests; `PACIOLI_KILLS` and `PACIOLI_SEED` ask for more.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use pacioli_core::{AppendOutcome, EventStore, Filter};
use pacioli_projection::engine::{Engine, Role};
use pacioli_sqlite::SqliteModels;

use super::{assert_folded, one, sync_balances};
use crate::models::support::{models, moved, name, projection};
use crate::support::{append, open, whole_log};

const DIRECTORY: &str = "PACIOLI_KILLED_DIRECTORY";
const SEED: &str = "PACIOLI_SEED";
/// Each has some money, so that a withdrawal finds a row.
const ACCOUNTS: u128 = 13;

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_in_log_and_tables_wherever_the_process_was_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let (kills, seed) = (setting("PACIOLI_KILLS", 12), setting(SEED, 1494));
    let mut acknowledged = BTreeSet::new();
    for kill in 0..kills {
        let mut child = Killed(spawn(directory.path(), kill));
        let out = child.0.stdout.take().expect("a pipe");
        let listening = tokio::task::spawn_blocking(move || heard(out));
        tokio::time::sleep(Duration::from_millis(100 + (seed.wrapping_mul(31).wrapping_add(kill * 7_919)) % 400)).await;
        drop(child);
        acknowledged.extend(listening.await.expect("it listened"));

        let store = open(directory.path());
        let stored: BTreeSet<u128> =
            whole_log(&store, Filter::default()).await.iter().map(|event| event.id.0.as_u128()).collect();
        let lost: Vec<_> = acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "kill {kill}: {lost:?}");
        let models = models(&store);
        let serves = |build: &pacioli_projection::engine::Build| build.role == Role::Serving;
        if models.builds().await.expect("the builds").iter().any(serves) {
            assert_folded(&store, &models).await;
        }
    }
    assert!(acknowledged.len() > 100, "it came to {} appends", acknowledged.len());
}

/// The ids that it said were acknowledged, until it was killed.
fn heard(out: ChildStdout) -> Vec<u128> {
    let lines = BufReader::new(out).lines().map_while(Result::ok);
    lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok()).collect()
}

/// A process that goes when the test ends in any way.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(directory: &Path, seed: u64) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "sync_projections::killed::the_one_that_is_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

/// The other side: does nothing unless it is started by the test above.
#[tokio::test(flavor = "multi_thread")]
async fn the_one_that_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = open(Path::new(&directory));
    let models = models(&store);
    let serves = |build: &pacioli_projection::engine::Build| build.role == Role::Serving;
    if !models.builds().await.expect("the builds").iter().any(serves) {
        next_turn(&models).await;
        next_turn(&models).await;
    }
    for account in 0..ACCOUNTS {
        append(&store, &format!("account-{account}"), vec![moved(account + 1, "Deposited", 1)]).await;
    }
    let run = u128::from(setting(SEED, 1)) + 1;
    for task in 0..8_u128 {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let id = (run << 64) + (task << 40) + number + 1;
                // Some draw more than there is: those beside them must not notice, then or after a kill.
                let (kind, cents) = if number % 9 == 4 { ("Withdrawn", 1 << 40) } else { ("Deposited", 1) };
                let outcome = store.append(one(&format!("account-{}", id % ACCOUNTS), moved(id, kind, cents))).await;
                if matches!(outcome, Ok(AppendOutcome::Appended(_))) {
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "acknowledged {id}").and_then(|()| out.flush()).expect("the test listens");
                }
            }
        });
    }
    loop {
        next_turn(&models).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Begins a new version, or lets the one that fills serve.
async fn next_turn(models: &SqliteModels) {
    let all = models.builds().await.expect("the builds");
    let version = all.iter().map(|build| build.projection.version).max().unwrap_or(0) + 1;
    match all.iter().find(|build| build.role == Role::Filling) {
        None => drop(models.begin(&projection(&sync_balances(version)), 1).await.expect("a build")),
        Some(filling) => models.swap(&name("balances"), filling.number).await.expect("it serves"),
    }
}
