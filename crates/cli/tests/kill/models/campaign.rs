//! The campaign: load, commands and kills, as a seed decides.

use std::time::{Duration, Instant};

use pacioli_core::conformance::history::Random;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::door::Door;
use super::fold::{Stand, fold, row, tables_of};
use super::judge::{Judge, differences};
use super::load::Load;
use super::stage::Serves;
use super::world::{Engine, FILES, World};
use crate::server::Server;
use crate::{alone, say, setting};

/// Kills of the slice that runs with the tests, on each engine.
const KILLS: u64 = 12;
/// Kills of one store; then another one begins, so that looking does not come to cost more than killing.
const KILLS_OF_A_STORE: u64 = 60;
/// How long projections may take to come to the head once nobody appends.
const SETTLE: Duration = Duration::from_secs(60);
/// How long a moment is waited for before the kill comes anyway.
const MOMENT_MAX: Duration = Duration::from_millis(2_000);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_models_on_sqlite_are_a_fold_of_the_log_whenever_the_server_is_killed() {
    run(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_models_on_postgres_are_a_fold_of_the_log_whenever_the_server_is_killed() {
    run(Engine::Postgres).await;
}

async fn run(engine: Engine) {
    let _alone = alone().await;
    let (kills, seed) = (setting("PACIOLI_KILLS", KILLS), setting("PACIOLI_SEED", 1494));
    say(&format!("read models on {engine:?}: {kills} kills, seed {seed} (PACIOLI_KILLS, PACIOLI_SEED)"));
    let mut left = kills;
    for store in 0.. {
        let kills = left.min(KILLS_OF_A_STORE);
        if kills == 0 {
            return;
        }
        left -= kills;
        one_store(engine, kills, seed.wrapping_add(store)).await;
    }
}

async fn one_store(engine: Engine, kills: u64, seed: u64) {
    let mut random = Random::new(seed);
    let partitions = if random.percent(50) { 1 } else { 2 };
    let world = World::new(engine, partitions, format!("seed {seed}, {engine:?}, {partitions} partitions"));
    let mut campaign = Campaign {
        server: world.serve(),
        world,
        judge: Judge::default(),
        random,
        versions: FILES.map(|(name, _)| (name, 1)).to_vec(),
        did: Vec::new(),
    };
    if let Err(broken) = campaign.run(kills, seed).await {
        panic!("seed {seed}, {engine:?}, {partitions} partitions: {broken}\nwhat was done: {:#?}", campaign.did);
    }
}

struct Campaign {
    world: World,
    server: Server,
    judge: Judge,
    random: Random,
    /// The newest version of each file.
    versions: Vec<(&'static str, u32)>,
    did: Vec<String>,
}

impl Campaign {
    async fn run(&mut self, kills: u64, seed: u64) -> Result<(), String> {
        let load = Load::start(&[self.server.url()], seed);
        let began = Instant::now();
        for kill in 1..=kills {
            let (what, command) = self.act();
            let moment = self.moment(&what).await;
            self.did.push(format!("kill {kill}: {what}, {moment}"));
            if self.random.percent(30) {
                self.judge.look(&*self.world.stage, Serves::Yes)?;
            }
            if self.random.percent(15) {
                self.ask_the_past().await?;
            }
            self.server.kill();
            if let Some(command) = command {
                command.abort();
            }
            self.judge.look(&*self.world.stage, Serves::No)?;
            tokio::time::sleep(Duration::from_millis(self.random.below(100) as u64)).await;
            self.server.restart();
        }
        let told = load.stop().await;
        self.resume_all().await;
        let door = Door::to(&self.server.url());
        door.settled(SETTLE).await;
        let look = self.judge.look(&*self.world.stage, Serves::Yes)?;
        self.judge.at_the_head(&look, &self.world.names())?;
        told.check(&look.log)?;
        for name in self.world.names() {
            let verified = door.verify(name).await.map_err(|error| format!("verify {name}: {error}"))?;
            if verified["different"] != 0 {
                return Err(format!("verify says that `{name}` drifted: {verified}"));
            }
        }
        if self.server.terminate() != Some(0) {
            return Err("SIGTERM does not end it cleanly".to_owned());
        }
        self.judge.look(&*self.world.stage, Serves::No)?;
        let strangers = tokio::task::block_in_place(|| self.world.stage.strangers());
        if !strangers.is_empty() {
            return Err(format!("what nobody knows lies there: {strangers:?}"));
        }
        let refused = told.refused_by_projection;
        say(&format!(
            "{}: {kills} kills in {:.1} s, {} events acknowledged, {refused} appends refused by a projection, {:?}",
            self.world.stage.engine(),
            began.elapsed().as_secs_f64(),
            told.acknowledged(),
            self.judge.counts
        ));
        let counts = &self.judge.counts;
        let is_much = counts.builds >= kills * 3 && told.acknowledged() as u64 >= kills * 10;
        is_much.then_some(()).ok_or_else(|| format!("too little happened to mean anything: {counts:?}"))
    }

    /// Gives a command, mostly, whose answer nobody waits for.
    fn act(&mut self) -> (String, Option<JoinHandle<()>>) {
        let names = self.world.names();
        let name = names[self.random.below(names.len())];
        let door = Door::to(&self.server.url());
        let command = |command: &'static str, body: Value| {
            let work = async move { drop(door.command(name, command, body).await) };
            (format!("{command} {name}"), Some(tokio::spawn(work)))
        };
        match self.random.below(12) {
            0..4 => {
                // Several workers, where streams may be shared.
                let parallel = name == "streams" && self.world.engine == Engine::Postgres;
                command("rebuild", if parallel { json!({ "parallel": 2 }) } else { json!({}) })
            }
            4 | 5 => {
                let Some((file, version)) = self.versions.iter_mut().find(|(file, _)| *file == name) else {
                    return command("rebuild", json!({}));
                };
                *version += 1;
                let text = FILES.iter().find(|(name, _)| name == file).expect("a file").1;
                let text = text.replace("-- version: 1", &format!("-- version: {version}"));
                self.world.write(name, &text);
                let door = Door::to(&self.server.url());
                let work = async move { drop(door.add(&format!("{name}.sql"), &text).await) };
                (format!("version {version} of {name}"), Some(tokio::spawn(work)))
            }
            6 => command("rollback", json!({})),
            7 => command("cancel", json!({})),
            8 => command("pause", json!({})),
            9 => command("resume", json!({})),
            10 => {
                let door = Door::to(&self.server.url());
                (format!("drop kept {name}"), Some(tokio::spawn(async move { drop(door.drop_kept(name).await) })))
            }
            _ => ("nothing".to_owned(), None),
        }
    }

    /// Waits for the moment of the kill.
    async fn moment(&mut self, what: &str) -> String {
        let name = what.rsplit(' ').next().unwrap_or_default().to_owned();
        let rest = Duration::from_micros(self.random.below(30_000) as u64);
        let door = Door::to(&self.server.url());
        let building = async |is_wanted: bool| {
            loop {
                if let Ok(status) = door.status(&name).await
                    && status["building"].is_null() != is_wanted
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let (moment, wait): (_, std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) = match self.random.below(4) {
            _ if what == "nothing" => ("at any time", Box::pin(tokio::time::sleep(rest * 20))),
            0 => (
                "when it begins to build",
                Box::pin(async {
                    building(true).await;
                    tokio::time::sleep(rest).await
                }),
            ),
            1 | 2 => (
                "when it has built",
                Box::pin(async {
                    let _ = tokio::time::timeout(MOMENT_MAX / 4, building(true)).await;
                    building(false).await;
                    tokio::time::sleep(rest / 4).await;
                }),
            ),
            _ => ("at any time", Box::pin(tokio::time::sleep(rest * 20))),
        };
        let came = tokio::time::timeout(MOMENT_MAX, wait).await.is_ok();
        format!("{moment}{}", if came { "" } else { ", which did not come" })
    }

    /// Asks what a read model was at some place of the log, and folds the log up to there.
    async fn ask_the_past(&mut self) -> Result<(), String> {
        let Some(last) = self.judge.log().last() else { return Ok(()) };
        let partitions = last.partition + 1;
        let heads: Vec<u64> = (0..partitions)
            .map(|partition| self.judge.log().iter().filter(|fact| fact.partition == partition).count() as u64)
            .collect();
        let stand = |partition: u64, position: u64| Stand { worker: 0, partition, position };
        let stands: Vec<Stand> = heads
            .iter()
            .enumerate()
            .map(|(partition, head)| stand(partition as u64, self.random.below(*head as usize + 1) as u64))
            .collect();
        let checkpoint: Vec<String> = stands.iter().map(|one| format!("{}:{}", one.partition, one.position)).collect();
        let checkpoint = checkpoint.join(",");
        let name = ["balances", "totals"][self.random.below(2)];
        let (table, columns) = tables_of(name)[0];
        let sql = format!("SELECT {} FROM {table}", columns.join(", "));
        let door = Door::to(&self.server.url());
        let rows = door.sql(&sql, json!({ "as_of": checkpoint })).await;
        let rows = rows.map_err(|error| format!("{name} as of {checkpoint}: {error}"))?;
        let values = |found: &Value| columns.iter().map(|column| found[*column].clone()).collect::<Vec<_>>();
        let found = rows.iter().map(|found| row(columns, &values(found))).collect();
        let found = std::iter::once((table.to_owned(), found)).collect();
        self.did.push(format!("asked {name} as of {checkpoint}"));
        differences(&fold(name, self.judge.log(), &stands), &found)
            .map_err(|difference| format!("{name} as of {checkpoint} {difference}"))
    }

    async fn resume_all(&self) {
        let door = Door::to(&self.server.url());
        for name in self.world.names() {
            let _ = door.command(name, "resume", json!({})).await;
        }
    }
}
