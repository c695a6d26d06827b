//! Clients that append through several stores at once, followers of each store, and what is checked at the end.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use pacioli_core::conformance::history::{self, Counts, History, LoggedEvent, Phase, Random};
use pacioli_core::{
    Append, AppendRequest, Checkpoint, Delivery, EventId, EventStore, EventType, ExpectedVersion, NewEvent, Partition,
    ReadError, StreamName, Subscribe,
};
use pacioli_pgtest::Cluster;
use pacioli_postgres::{PostgresOptions, PostgresStore};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::support::open;

/// Nothing stands still for longer once a fault is over.
pub(crate) const STALL_MAX: Duration = Duration::from_secs(5);
/// How long followers may take to see the end of the log.
const FOLLOW_PATIENCE: Duration = Duration::from_secs(10);
/// Streams that everybody writes to.
const HOT_STREAMS: usize = 20;
/// Of a hundred operations without an answer, how many are sent again.
const RESENT_PERCENT: usize = 70;

/// Options of a test on a cluster that keeps what it acknowledges.
pub(crate) fn durable() -> PostgresOptions {
    PostgresOptions { answer_within: Duration::from_secs(4), ..PostgresOptions::default() }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: not a number")))
}

/// Said even when the harness captures what tests print.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "fault test: {text}");
}

/// How often a fault is repeated; a campaign repeats it more often.
pub(crate) fn rounds(default: u64) -> u64 {
    setting("PACIOLI_FAULT_ROUNDS", default)
}

/// Where chance begins; said, so that it can be repeated.
pub(crate) fn seed() -> u64 {
    let seed = setting("PACIOLI_FAULT_SEED", 1494);
    say(&format!("PACIOLI_FAULT_SEED={seed}"));
    seed
}

/// Runs what blocks, without stopping the others.
pub(crate) fn blocking<T>(work: impl FnOnce() -> Result<T, pacioli_pgtest::Error>) -> T {
    tokio::task::block_in_place(work).expect("the cluster does as it is told")
}

/// Waits until it is so; panics with `what` where that takes too long.
pub(crate) async fn eventually(at_most: Duration, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < at_most, "{what}: not after {at_most:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An event with its data.
pub(crate) fn event(id: Uuid, event_type: &str, data: String) -> NewEvent {
    NewEvent::json(EventId(id), EventType::new(event_type).expect("a type"), data)
}

/// One event for a stream, whatever stands there.
pub(crate) fn one(stream: &str, event_type: &str) -> AppendRequest {
    let stream = StreamName::new(stream).expect("a name");
    Append::to(stream, ExpectedVersion::Any, vec![event(Uuid::now_v7(), event_type, "{}".to_owned())])
}

/// Clients and followers at work.
pub(crate) struct Load {
    pub(crate) history: Arc<History>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    pub(crate) followers: Vec<Follower>,
    /// Acknowledged through each store.
    acknowledged: Vec<Arc<AtomicU64>>,
}

impl Load {
    /// Starts so many clients of each store, and a follower of each.
    pub(crate) fn start(stores: &[&PostgresStore], clients: u64, seed: u64) -> Load {
        let history = Arc::new(History::default());
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged: Vec<_> = stores.iter().map(|_| Arc::new(AtomicU64::new(0))).collect();
        let mut running = Vec::new();
        for (index, store) in stores.iter().enumerate() {
            for number in 0..clients {
                let number = index as u64 * clients + number;
                let client = Client {
                    number,
                    next_op: number << 40,
                    random: Random::new(seed ^ ((number + 1) << 32)),
                    store: (*store).clone(),
                    history: Arc::clone(&history),
                    acknowledged: Arc::clone(&acknowledged[index]),
                    stop: Arc::clone(&stop),
                };
                running.push(tokio::spawn(client.run()));
            }
        }
        let followers = stores.iter().map(|store| Follower::start((*store).clone())).collect();
        Load { history, stop, clients: running, followers, acknowledged }
    }

    /// How much was acknowledged through every store.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Every store acknowledges again.
    pub(crate) async fn goes_on(&self) {
        let before: Vec<u64> = self.acknowledged.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        eventually(STALL_MAX, "appends go on through every store", async || {
            self.acknowledged.iter().zip(&before).all(|(count, before)| count.load(Ordering::Relaxed) > before + 3)
        })
        .await;
    }

    /// Ends the clients.
    pub(crate) async fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            client.await.expect("a client ends");
        }
    }

    /// Ends the clients and checks all they were told and all that the followers saw.
    pub(crate) async fn finish(mut self, store: &PostgresStore) -> Counts {
        self.stop().await;
        let log = whole_log(store).await;
        let counts = self.check(&log).await;
        say(&format!("{counts:?}"));
        assert!(counts.acknowledged > 20, "too little was acknowledged to mean anything: {counts:?}");
        counts
    }

    /// Checks what the clients were told, and every follower.
    pub(crate) async fn check(&self, log: &[LoggedEvent]) -> Counts {
        self.check_operations(&self.history.operations(), log).await
    }

    pub(crate) async fn check_operations(
        &self,
        operations: &std::collections::BTreeMap<u64, history::Operation>,
        log: &[LoggedEvent],
    ) -> Counts {
        let mut counts = Counts::default();
        for follower in &self.followers {
            eventually(FOLLOW_PATIENCE, "a follower sees the end of the log", async || {
                let seen = follower.seen();
                seen.len() >= log.len() && seen.last().map(|last| last.0) == log.last().map(|last| last.position)
            })
            .await;
            counts = history::check(operations, log, &follower.seen()).unwrap_or_else(|broken| panic!("{broken}"));
        }
        counts
    }
}

/// The whole log as the storage has it: what this store knows of the others' may be of a moment ago.
pub(crate) async fn whole_log(store: &PostgresStore) -> Vec<LoggedEvent> {
    let head = store.head().await.expect("a head").position(Partition::ZERO).0;
    let mut log = Vec::new();
    eventually(STALL_MAX, "the store knows the head", async || {
        log = history::read_whole_log(store).await.expect("the log can be read");
        log.len() as u64 >= head
    })
    .await;
    log
}

struct Client {
    number: u64,
    next_op: u64,
    random: Random,
    store: PostgresStore,
    history: Arc<History>,
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Client {
    async fn run(mut self) {
        let mut unanswered = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let op = self.next_op;
            self.next_op += 1;
            let Some(request) = self.request(op).await else { continue };
            if !self.send(op, &request).await && self.random.percent(RESENT_PERCENT) {
                unanswered.push((op, request));
            }
            if self.random.percent(20)
                && let Some((op, request)) = unanswered.pop()
                && !self.send(op, &request).await
            {
                unanswered.push((op, request));
            }
        }
        for (op, request) in unanswered {
            self.send(op, &request).await;
        }
    }

    fn events(&mut self, op: u64, count: usize) -> Vec<NewEvent> {
        let event = |i| {
            let id = if self.random.percent(80) { Uuid::now_v7() } else { Uuid::new_v4() };
            event(id, "Written", format!("{{\"client\":{},\"op\":{op},\"i\":{i}}}", self.number))
        };
        (0..count).map(event).collect()
    }

    /// The next request; `None` where the store would have to be asked first and does not answer.
    async fn request(&mut self, op: u64) -> Option<AppendRequest> {
        let stream = StreamName::new(format!("hot-{}", self.random.below(HOT_STREAMS))).expect("a name");
        Some(match self.random.below(6) {
            0 | 1 => Append::to(stream, ExpectedVersion::Any, self.events(op, 1)),
            2 => {
                let count = 2 + self.random.below(7);
                Append::to(stream, ExpectedVersion::Any, self.events(op, count))
            }
            3 => {
                let other = StreamName::new(format!("own-{}", self.number)).expect("a name");
                let first = self.events(op, 2);
                Append::to(stream, ExpectedVersion::Any, first).and(other, ExpectedVersion::Any, self.events(op, 2))
            }
            4 => {
                let asked = tokio::time::timeout(Duration::from_secs(1), self.store.stream(&stream)).await;
                let current = asked.ok()?.ok()?;
                let expected = current.map_or(ExpectedVersion::None, |info| ExpectedVersion::Exact(info.version));
                Append::to(stream, expected, self.events(op, 1))
            }
            _ => Append::to(stream, ExpectedVersion::Any, self.events(op, 3)).key(Uuid::now_v7()),
        })
    }

    /// Sends a request and writes down what came of it; false where it would be worth to send it again.
    async fn send(&self, op: u64, request: &AppendRequest) -> bool {
        self.history.write(op, Phase::invoke(request));
        let phase = Phase::answer(&self.store.append(request.clone()).await);
        let is_stored = matches!(phase, Phase::Ok { .. });
        let is_known = is_stored || phase == Phase::Fail;
        self.history.write(op, phase);
        self.acknowledged.fetch_add(u64::from(is_stored), Ordering::Relaxed);
        if !is_known {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        is_known
    }
}

/// What a follower was told, over every time it had to begin again.
#[derive(Default)]
struct Seen {
    events: Vec<(u64, Uuid)>,
    checkpoint: Option<Checkpoint>,
    rewinds: Vec<Checkpoint>,
    failures: u64,
}

/// Follows the log for ever, beginning again where it stood whenever the store fails.
pub(crate) struct Follower {
    seen: Arc<Mutex<Seen>>,
    running: JoinHandle<()>,
}

impl Follower {
    pub(crate) fn start(store: PostgresStore) -> Follower {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let running = tokio::spawn(follow(store, Arc::clone(&seen)));
        Follower { seen, running }
    }

    pub(crate) fn seen(&self) -> Vec<(u64, Uuid)> {
        self.seen.lock().expect("no panic").events.clone()
    }

    /// Where it would resume.
    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        self.seen.lock().expect("no panic").checkpoint.clone()
    }

    /// To where it was told to go back, each time.
    pub(crate) fn rewinds(&self) -> Vec<Checkpoint> {
        self.seen.lock().expect("no panic").rewinds.clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn follow(store: PostgresStore, seen: Arc<Mutex<Seen>>) {
    loop {
        let after = seen.lock().expect("no panic").checkpoint.clone();
        // A short heartbeat: who is at the head of a log that fails must notice.
        let subscribe = Subscribe { after, heartbeat: Duration::from_millis(500), ..Subscribe::default() };
        let failed = match store.subscribe(subscribe).await {
            Ok(mut deliveries) => loop {
                match deliveries.next().await {
                    Some(Ok(delivery)) => note(&mut seen.lock().expect("no panic"), &delivery),
                    Some(Err(error)) => break error,
                    None => panic!("a subscription ended without a word"),
                }
            },
            Err(error) => error,
        };
        match failed {
            ReadError::Rewound { to } => {
                let mut seen = seen.lock().expect("no panic");
                seen.events.retain(|(position, _)| *position <= to.position(Partition::ZERO).0);
                seen.checkpoint = Some(to.clone());
                seen.rewinds.push(to);
            }
            ReadError::Store(_) => seen.lock().expect("no panic").failures += 1,
            error => panic!("a follower was told: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn note(seen: &mut Seen, delivery: &Delivery) {
    if let Delivery::Events { events, .. } = delivery {
        seen.events.extend(events.iter().map(|event| (event.position.0, event.id.0)));
    }
    seen.checkpoint = Some(delivery.checkpoint().clone());
}

/// A cluster to itself with a store in it, opened twice: two servers on one database.
pub(crate) struct Pair {
    pub(crate) cluster: Cluster,
    pub(crate) database: String,
    pub(crate) first: PostgresStore,
    pub(crate) second: PostgresStore,
}

impl Pair {
    pub(crate) async fn start(options: pacioli_pgtest::ClusterOptions, store: PostgresOptions) -> Pair {
        let cluster = blocking(|| Cluster::start(options));
        let database = blocking(|| cluster.create_database("faults"));
        let url = cluster.url(&database);
        let first = open(&url, store.clone()).await.expect("the store opens");
        let second = open(&url, store).await.expect("the store opens");
        Pair { cluster, database, first, second }
    }

    /// Checks everything, drops both stores, and sees that they leave no slot behind.
    pub(crate) async fn finish(self, load: Load) -> Counts {
        let counts = load.finish(&self.first).await;
        let Pair { cluster, first, second, .. } = self;
        drop((first, second));
        no_slot_is_left(&cluster).await;
        counts
    }
}

/// Dropped stores leave no replication slot behind.
pub(crate) async fn no_slot_is_left(cluster: &Cluster) {
    eventually(STALL_MAX, "no slot is left", async || {
        blocking(|| cluster.sql_value("postgres", "SELECT count(*) FROM pg_replication_slots")) == "0"
    })
    .await;
}

/// The value of one of the store's measures.
pub(crate) fn measure(store: &PostgresStore, name: &str) -> f64 {
    let measures = store.measures();
    measures.iter().find(|measure| measure.name == name).unwrap_or_else(|| panic!("there is no {name}")).value
}
