//! A process is killed at random moments while it fills, swaps, copies and drops builds: whenever it is opened again, one build
//! serves, its rows are those of an independent fold at its own checkpoint, and no file belongs to nobody.
//!
//! A short seeded slice runs with the tests; `PACIOLI_KILLS` and `PACIOLI_SEED` ask for more.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pacioli_core::{Partition, Position};
use pacioli_projection::answer::Value;
use pacioli_projection::engine::{BuildNumber, Engine, Role, Sample};
use pacioli_sqlite::{SqliteModels, SqliteOptions, SqliteStore};

use super::support::{BALANCES, TOTALS, build, deposit, folded, models, name, projection, rows, step, to_head};

const DIRECTORY: &str = "PACIOLI_KILLED_DIRECTORY";
const SEED: &str = "PACIOLI_SEED";

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

fn open(directory: &Path) -> SqliteStore {
    let options = SqliteOptions { partitions: Some(2), ..SqliteOptions::default() };
    SqliteStore::open(directory, options).expect("the store opens")
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_equal_the_fold_wherever_the_process_was_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let (kills, seed) = (setting("PACIOLI_KILLS", 12), setting(SEED, 1494));
    for kill in 0..kills {
        let mut child = Killed(spawn(directory.path(), seed.wrapping_add(kill)));
        let out = child.0.stdout.take().expect("a pipe");
        let ready = BufReader::new(out).lines().map_while(Result::ok).any(|line| line.contains("ready to be killed"));
        assert!(ready, "the process got going");
        tokio::time::sleep(Duration::from_millis(seed.wrapping_mul(31).wrapping_add(kill * 7_919) % 300)).await;
        drop(child);
        check(directory.path(), kill).await;
    }
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
        .args(["--exact", "models::kill::the_one_that_is_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

async fn check(directory: &Path, kill: u64) {
    let store = open(directory);
    let models = models(&store);
    let all = models.builds().await.expect("the builds");
    let mut files: BTreeSet<String> = std::fs::read_dir(directory.join("read-models"))
        .expect("the directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|file| file.ends_with(".db"))
        .collect();
    for build in &all {
        let file = format!("{}.{}.db", build.projection.name, build.number.0);
        assert!(files.remove(&file), "kill {kill}: {file} is there");
    }
    assert_eq!(files, BTreeSet::from(["catalogue.db".to_owned()]), "kill {kill}: no other file");
    for of in ["balances", "totals"] {
        let count = |role| all.iter().filter(|one| one.projection.name.as_str() == of && one.role == role).count();
        assert!(count(Role::Serving) <= 1 && count(Role::Kept) <= 1, "kill {kill}: {all:?}");
    }
    if all.iter().any(|one| one.projection.name.as_str() == "balances" && one.role == Role::Serving) {
        check_rows(&store, &models, kill).await;
    }
}

async fn check_rows(store: &SqliteStore, models: &SqliteModels, kill: u64) {
    let serving = build(models, "balances", Role::Serving).await;
    let stands = |partition: Partition| -> Position {
        serving.progress.iter().find(|stands| stands.partition == partition).expect("it stands there").position
    };
    let found = rows(models, "SELECT account, cents, moves, last_note FROM balances ORDER BY account").await;
    let expected: Vec<Vec<Value>> = super::support::folded_rows(&folded(store, stands).await);
    assert_eq!(found, expected, "kill {kill}: the rows of build {}", serving.number.0);
    let verified = models.verify(&name("balances"), serving.number, Sample::All, &|_| {}).await.expect("compared");
    assert_eq!(verified.different, 0, "kill {kill}: {:?}", verified.differences);
}

/// The other side: does nothing unless it is started by the test above.
#[tokio::test(flavor = "multi_thread")]
async fn the_one_that_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = open(Path::new(&directory));
    let models = models(&store);
    let mut random = setting(SEED, 1);
    let mut below = move |bound: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    let mut next_id = u128::from(below(1 << 30)) << 40;
    {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        writeln!(out, "ready to be killed").and_then(|()| out.flush()).expect("the test listens");
    }
    loop {
        deposit(&store, next_id, 1 + u128::from(below(20)), 4).await;
        next_id += 100;
        for (of, text) in [("balances", BALANCES), ("totals", TOTALS)] {
            turn(&models, of, text, &mut below).await;
        }
    }
}

/// One step of one projection's life.
async fn turn(models: &SqliteModels, of: &str, text: &str, below: &mut impl FnMut(u64) -> u64) {
    let all = models.builds().await.expect("the builds");
    let mine: Vec<_> = all.into_iter().filter(|build| build.projection.name.as_str() == of).collect();
    let newest = mine.iter().map(|build| build.projection.version).max().unwrap_or(0);
    let by_role = |role| mine.iter().find(|build| build.role == role);
    let (Some(serving), filling) = (by_role(Role::Serving), by_role(Role::Filling)) else {
        models.begin(&projection(text), 1).await.expect("a build");
        return;
    };
    match (below(8), filling, by_role(Role::Kept)) {
        (0, None, _) => {
            let text = text.replace("version: 1", &format!("version: {}", newest + 1));
            models.begin(&projection(&text), 1).await.expect("a build");
        }
        (1 | 2, Some(filling), _) => {
            to_head(models, of, Role::Filling, 50).await.expect("it fills");
            models.swap(&name(of), filling.number).await.expect("it takes over");
        }
        (3, None, Some(kept)) => models.take_back(&name(of), kept.number).await.expect("it fills again"),
        (4, _, Some(kept)) => models.drop_build(&name(of), kept.number).await.expect("it is dropped"),
        (5, ..) => drop(models.keep_copy(&name(of), serving.number).await.expect("a copy")),
        (6, ..) if below(10) == 0 => {
            let numbers: Vec<BuildNumber> = mine.iter().map(|build| build.number).collect();
            for number in numbers {
                models.drop_build(&name(of), number).await.expect("all of it goes");
            }
        }
        _ => {
            for build in &mine {
                for partition in 0..2 {
                    if build.role != Role::Kept {
                        step(models, build, partition, 1 + below(30) as usize).await.expect("it advances");
                    }
                }
            }
        }
    }
}
