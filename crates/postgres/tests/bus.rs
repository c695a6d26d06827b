//! Events of other writers arrive, once and in order, whatever happens to the way that they come by.

use std::time::{Duration, Instant};

use futures::StreamExt;

use pacioli_core::store::{Bus, Deliveries};
use pacioli_core::subscription::{Delivery, Subscribe};
use pacioli_core::{
    Append, AppendOutcome, EventId, EventStore, EventType, ExpectedVersion, NewEvent, Place, StreamName,
};
use pacioli_pgtest::{Cluster, ClusterOptions};
use pacioli_postgres::{PostgresOptions, PostgresStore};

use crate::support::{open, options};

/// Long enough for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(20);

/// A database of the shared cluster, and its URL.
fn database(label: &str) -> (&'static Cluster, String, String) {
    let cluster = pacioli_pgtest::shared();
    let name = cluster.create_database(label).expect("a database");
    let url = cluster.url(&name);
    (cluster, name, url)
}

async fn append(store: &PostgresStore, stream: &str, events: usize) {
    let event = |_| NewEvent::json(EventId(uuid::Uuid::now_v7()), EventType::new("Rang").expect("a type"), "{}");
    let stream = StreamName::new(stream).expect("a name");
    let append = Append::to(stream, ExpectedVersion::Any, (0..events).map(event).collect());
    let outcome = store.append(append).await.expect("the append is answered");
    assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
}

/// Waits until it is so.
async fn until(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < within, "{what}: not so after {within:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until_slot(store: &PostgresStore, within: Duration) {
    let began = Instant::now();
    while store.bus() != Bus::Slot {
        assert!(began.elapsed() < within, "no slot after {within:?}: {:?}", store.bus());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until_polling(store: &PostgresStore, because: &str) {
    let is_so = |bus: Bus| matches!(bus, Bus::Polling { why } if why.contains(because));
    let began = Instant::now();
    while !is_so(store.bus()) {
        assert!(began.elapsed() < PATIENCE, "not polling because `{because}`: {:?}", store.bus());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The slots in a database, each as `plugin temporary`.
fn slots(cluster: &Cluster, database: &str) -> Vec<String> {
    let query = "SELECT plugin || ' ' || temporary FROM pg_replication_slots WHERE database = current_database()";
    cluster.sql(database, query).expect("the server answers").into_iter().flatten().flatten().collect()
}

fn measure(store: &PostgresStore, name: &str) -> u64 {
    store.measures().into_iter().find(|measure| measure.name == name).expect("it is measured").value as u64
}

/// A subscriber from the start of the log, that would not look by itself while a test lasts.
struct Subscriber {
    deliveries: Deliveries,
    taken: Vec<Place>,
}

impl Subscriber {
    async fn to(store: &PostgresStore) -> Subscriber {
        let subscribe = Subscribe { heartbeat: Duration::from_secs(600), ..Subscribe::default() };
        Subscriber { deliveries: store.subscribe(subscribe).await.expect("a subscription"), taken: Vec::new() }
    }

    /// Takes events until there are so many, each once and in the order of its partition; returns how long that took.
    async fn take(&mut self, events: usize, within: Duration) -> Duration {
        let began = Instant::now();
        let take = async {
            while self.taken.len() < events {
                match self.deliveries.next().await.expect("it never ends").expect("a delivery") {
                    Delivery::Events { events, .. } => self.taken.extend(events.iter().map(|event| event.place())),
                    Delivery::CaughtUp { .. } | Delivery::Heartbeat { .. } => {}
                }
            }
        };
        if tokio::time::timeout(within, take).await.is_err() {
            panic!("{} of {events} events after {within:?}", self.taken.len());
        }
        self.check(events);
        began.elapsed()
    }

    /// No event comes that was not to come.
    async fn nothing_more(&mut self) {
        let before = self.taken.len();
        if let Ok(more) = tokio::time::timeout(Duration::from_millis(300), self.deliveries.next()).await {
            let more = more.expect("it never ends").expect("a delivery");
            assert!(!matches!(more, Delivery::Events { .. }), "after {before} events, {more:?}");
        }
    }

    fn check(&self, events: usize) {
        assert_eq!(self.taken.len(), events);
        let mut heads = std::collections::HashMap::new();
        for place in &self.taken {
            let head = heads.entry(place.partition).or_insert(0);
            assert_eq!(place.position.0, *head + 1, "in order, none twice, none missing: {:?}", self.taken);
            *head += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_deliver_each_others_events_by_their_slots() {
    let (cluster, name, url) = database("bus_two");
    let one = open(&url, PostgresOptions { partitions: Some(4), ..options() }).await.unwrap();
    let other = open(&url, options()).await.unwrap();
    for store in [&one, &other] {
        until_slot(store, PATIENCE).await;
    }
    assert_eq!(slots(cluster, &name), ["pgoutput true", "pgoutput true"]);

    let (mut at_one, mut at_other) = (Subscriber::to(&one).await, Subscriber::to(&other).await);
    for round in 0..25 {
        append(&one, &format!("a-{round}"), 2).await;
        append(&other, &format!("b-{round}"), 1).await;
    }
    at_one.take(75, PATIENCE).await;
    at_other.take(75, PATIENCE).await;
    // One by one: neither the comparison every 5 s nor a poll brings them.
    for round in 0..5 {
        append(&one, "c-1", 1).await;
        let took = at_other.take(76 + round, Duration::from_secs(2)).await;
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    assert_eq!((one.bus(), other.bus()), (Bus::Slot, Bus::Slot));
    assert_eq!(measure(&other, "postgres_bus_connections"), 1);
    assert!(measure(&other, "postgres_bus_commits") >= 5);
    // More in one append than the ring of recent events holds for a partition.
    let small = pacioli_core::recent::RecentLimits { events_max: 64, ..Default::default() };
    let third = open(&url, PostgresOptions { recent: small, ..options() }).await.unwrap();
    until_slot(&third, PATIENCE).await;
    let mut at_third = Subscriber::to(&third).await;
    append(&one, "d-1", 500).await;
    at_third.take(580, PATIENCE).await;
    at_other.take(580, PATIENCE).await;
    for subscriber in [&mut at_one, &mut at_other, &mut at_third] {
        subscriber.take(580, PATIENCE).await;
        subscriber.nothing_more().await;
    }

    drop((at_one, at_other, at_third));
    drop((one, other, third));
    until("no slot is left behind", Duration::from_secs(5), || slots(cluster, &name).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_replication_session_is_as_safe_as_the_others() {
    let cluster = Cluster::start(ClusterOptions { tcp: true, ..ClusterOptions::default() }).unwrap();
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    cluster.write_file("server.crt", &issued.cert.pem()).unwrap();
    cluster.write_file("server.key", &issued.signing_key.serialize_pem()).unwrap();
    cluster.configure(&[("ssl", "on")]).unwrap();
    cluster.reload().unwrap();
    let root = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(root.path(), issued.cert.pem()).unwrap();

    let name = cluster.create_database("bus_tls").unwrap();
    let plain = cluster.tcp_url(&name).unwrap();
    let safe = format!("{plain}?sslmode=verify-full&sslrootcert={}", root.path().display());
    let store = open(&safe, options()).await.unwrap();
    until_slot(&store, PATIENCE).await;
    let is_safe = "SELECT bool_and(ssl) FROM pg_stat_replication JOIN pg_stat_ssl USING (pid)";
    assert_eq!(cluster.sql_value(&name, is_safe).unwrap(), "t");
    let mut subscriber = Subscriber::to(&store).await;
    let other = open(&cluster.url(&name), PostgresOptions { poll_only: true, ..options() }).await.unwrap();
    append(&other, "a-1", 2).await;
    subscriber.take(2, Duration::from_secs(5)).await;
    drop(subscriber);
    drop(store);
    until("no slot is left behind", Duration::from_secs(5), || slots(&cluster, &name).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walsender_that_is_terminated_is_replaced() {
    let (cluster, name, url) = database("bus_terminated");
    let (one, other) = (open(&url, options()).await.unwrap(), open(&url, options()).await.unwrap());
    until_slot(&other, PATIENCE).await;
    let mut subscriber = Subscriber::to(&other).await;
    for round in 0..3 {
        append(&one, "a-1", 1).await;
        subscriber.take(2 * round + 1, Duration::from_secs(5)).await;
        let terminated = "SELECT count(pg_terminate_backend(active_pid))
                            FROM pg_replication_slots WHERE database = current_database()";
        cluster.sql(&name, terminated).unwrap();
        append(&one, "a-1", 1).await;
        subscriber.take(2 * round + 2, Duration::from_secs(5)).await;
        let begun = round as u64 + 2;
        until("another session", Duration::from_secs(5), || measure(&other, "postgres_bus_connections") == begun).await;
        until_slot(&other, Duration::from_secs(5)).await;
        until_slot(&one, Duration::from_secs(5)).await;
    }
    subscriber.nothing_more().await;
    assert_eq!(slots(cluster, &name).len(), 2, "one each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_events_come_by_the_slot_too_where_that_is_asked_for() {
    let (_, _, url) = database("bus_own");
    let store = open(&url, PostgresOptions { own_by_bus: true, partitions: Some(2), ..options() }).await.unwrap();
    let mut subscriber = Subscriber::to(&store).await;
    append(&store, "a-1", 3).await;
    subscriber.take(3, PATIENCE).await;
    until_slot(&store, PATIENCE).await;
    for round in 1..=20 {
        append(&store, &format!("a-{round}"), 2).await;
    }
    subscriber.take(43, PATIENCE).await;
    assert_eq!(store.bus(), Bus::Slot);
    assert!(measure(&store, "postgres_gap_reads") > 0, "they were read from the table");
    subscriber.nothing_more().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polling_is_enough_where_it_is_asked_for() {
    let (cluster, name, url) = database("bus_polls");
    let one = open(&url, PostgresOptions { poll_only: true, partitions: Some(1024), ..options() }).await.unwrap();
    let other = open(&url, PostgresOptions { poll_only: true, ..options() }).await.unwrap();
    let mut subscriber = Subscriber::to(&other).await;
    for round in 0..10 {
        append(&one, &format!("a-{round}"), 2).await;
    }
    subscriber.take(20, PATIENCE).await;
    subscriber.nothing_more().await;
    assert!(matches!(other.bus(), Bus::Polling { why } if why.contains("asked for")));
    assert!(slots(cluster, &name).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_logical_wal_the_bus_polls() {
    let settings = vec![("wal_level".to_owned(), "replica".to_owned())];
    let cluster = Cluster::start(ClusterOptions { settings, ..ClusterOptions::default() }).unwrap();
    let name = cluster.create_database("bus_replica").unwrap();
    let url = cluster.url(&name);
    let (one, other) = (open(&url, options()).await.unwrap(), open(&url, options()).await.unwrap());
    let mut subscriber = Subscriber::to(&other).await;
    until_polling(&other, "wal_level is replica").await;
    append(&one, "a-1", 5).await;
    let took = subscriber.take(5, Duration::from_secs(5)).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(slots(&cluster, &name).is_empty());
    assert_eq!(measure(&other, "postgres_bus_connections"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_replicate_polls_until_it_may() {
    let (cluster, name, url) = database("bus_role");
    cluster.sql(&name, &format!("CREATE ROLE {name} LOGIN; GRANT CREATE ON DATABASE {name} TO {name}")).unwrap();
    let url = url.replace("postgres://postgres@", &format!("postgres://{name}@"));
    let (one, other) = (open(&url, options()).await.unwrap(), open(&url, options()).await.unwrap());
    let mut subscriber = Subscriber::to(&other).await;
    until_polling(&other, "REPLICATION").await;
    append(&one, "a-1", 2).await;
    subscriber.take(2, Duration::from_secs(5)).await;
    cluster.sql(&name, &format!("ALTER ROLE {name} REPLICATION")).unwrap();
    until_slot(&other, Duration::from_secs(40)).await;
    append(&one, "a-1", 2).await;
    subscriber.take(4, Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_publication_is_missed_and_made_again_by_whoever_may() {
    let (cluster, name, url) = database("bus_publication");
    let role = format!(
        "CREATE ROLE {name} LOGIN REPLICATION; CREATE SCHEMA pacioli AUTHORIZATION {name}; \
         REVOKE CREATE ON DATABASE {name} FROM PUBLIC"
    );
    cluster.sql(&name, &role).unwrap();
    let poor = url.replace("postgres://postgres@", &format!("postgres://{name}@"));
    let one = open(&poor, options()).await.unwrap();
    until_polling(&one, "CREATE PUBLICATION pacioli_bus FOR TABLE pacioli.commits").await;
    let other = open(&url, options()).await.unwrap();
    until_slot(&other, PATIENCE).await;
    let made = "SELECT count(*) FROM pg_publication WHERE pubname = 'pacioli_bus' AND pubinsert AND NOT pubupdate";
    assert_eq!(cluster.sql_value(&name, made).unwrap(), "1");
    let mut subscriber = Subscriber::to(&one).await;
    append(&other, "a-1", 2).await;
    subscriber.take(2, Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_killed_is_followed_again() {
    let cluster = Cluster::start(ClusterOptions { fsync: true, ..ClusterOptions::default() }).unwrap();
    let name = cluster.create_database("bus_killed").unwrap();
    let url = cluster.url(&name);
    let (one, other) = (open(&url, options()).await.unwrap(), open(&url, options()).await.unwrap());
    until_slot(&one, PATIENCE).await;
    until_slot(&other, PATIENCE).await;
    let mut subscriber = Subscriber::to(&other).await;
    append(&one, "a-1", 3).await;
    subscriber.take(3, PATIENCE).await;
    cluster.kill().unwrap();
    until_polling(&other, "another is begun").await;
    cluster.boot().unwrap();
    append(&one, "a-1", 2).await;
    subscriber.take(5, Duration::from_secs(5)).await;
    until_slot(&other, Duration::from_secs(5)).await;
    append(&one, "a-1", 2).await;
    subscriber.take(7, Duration::from_secs(5)).await;
    subscriber.nothing_more().await;
    drop(subscriber);
    drop((one, other));
    until("no slot is left behind", Duration::from_secs(5), || slots(&cluster, &name).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_slot_waits_for_a_transaction_events_are_polled_for() {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    let name = cluster.create_database("bus_waits").unwrap();
    cluster.sql(&name, "CREATE TABLE mine (n int)").unwrap();
    let url = cluster.url(&name);
    let one = open(&url, PostgresOptions { poll_only: true, ..options() }).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    client.batch_execute("BEGIN; INSERT INTO mine VALUES (1)").await.unwrap();

    let other = open(&url, options()).await.unwrap();
    let leaver = open(&url, options()).await.unwrap();
    let mut subscriber = Subscriber::to(&other).await;
    until_polling(&other, "waits for the transactions").await;
    until_polling(&leaver, "waits for the transactions").await;
    append(&one, "a-1", 2).await;
    let took = subscriber.take(2, Duration::from_secs(5)).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(slots(&cluster, &name).len(), 2);
    drop(leaver);
    until("who leaves takes its slot along", Duration::from_secs(5), || slots(&cluster, &name).len() == 1).await;

    client.batch_execute("COMMIT").await.unwrap();
    until_slot(&other, Duration::from_secs(5)).await;
    append(&one, "a-1", 2).await;
    subscriber.take(4, Duration::from_secs(5)).await;
    subscriber.nothing_more().await;
    drop(client);
    driver.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_announced_before_it_is_visible_is_not_forgotten() {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    let name = cluster.create_database("bus_early").unwrap();
    let url = cluster.url(&name);
    let one = open(&url, PostgresOptions { poll_only: true, ..options() }).await.unwrap();
    let other = open(&url, options()).await.unwrap();
    until_slot(&other, PATIENCE).await;
    append(&one, "a-1", 1).await;
    let mut subscriber = Subscriber::to(&other).await;
    subscriber.take(1, PATIENCE).await;
    // What is committed waits for a standby that does not come: it is in the log, and nobody else may see it.
    cluster.configure(&[("synchronous_standby_names", "nobody")]).unwrap();
    cluster.reload().unwrap();
    let announced = measure(&other, "postgres_bus_commits") + 1;
    let waiting = tokio::spawn(async move { append(&one, "a-1", 3).await });
    until("it is announced", PATIENCE, || measure(&other, "postgres_bus_commits") == announced).await;
    subscriber.nothing_more().await;
    cluster.configure(&[("synchronous_standby_names", "")]).unwrap();
    cluster.reload().unwrap();
    let took = subscriber.take(4, Duration::from_secs(5)).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    waiting.await.unwrap();
    assert_eq!(other.bus(), Bus::Slot);
    subscriber.nothing_more().await;
}

/// A process that stands still until it is dropped.
struct Stopped(String);

impl Stopped {
    fn signal(&self, signal: &str) {
        let sent = std::process::Command::new("kill").args([signal, &self.0]).status().expect("`kill` runs");
        assert!(sent.success(), "{signal} {}", self.0);
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // Or the cluster could not stop.
        self.signal("-CONT");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_says_nothing_is_found_out() {
    let cluster = Cluster::start(ClusterOptions::default()).unwrap();
    let name = cluster.create_database("bus_silent").unwrap();
    let url = cluster.url(&name);
    let one = open(&url, PostgresOptions { poll_only: true, ..options() }).await.unwrap();
    let other = open(&url, options()).await.unwrap();
    until_slot(&other, PATIENCE).await;
    let mut subscriber = Subscriber::to(&other).await;
    append(&one, "a-1", 1).await;
    subscriber.take(1, PATIENCE).await;
    let walsender = Stopped(cluster.sql_value(&name, "SELECT active_pid FROM pg_replication_slots").unwrap());
    walsender.signal("-STOP");
    append(&one, "a-1", 2).await;
    subscriber.take(3, Duration::from_secs(8)).await;
    until("another session", Duration::from_secs(10), || measure(&other, "postgres_bus_connections") == 2).await;
    until_slot(&other, Duration::from_secs(5)).await;
    append(&one, "a-1", 1).await;
    let took = subscriber.take(4, Duration::from_secs(5)).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    subscriber.nothing_more().await;
    drop(walsender);
    until("one slot is left", Duration::from_secs(5), || slots(&cluster, &name).len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_retained_too_much_is_made_anew() {
    let settings = vec![("max_slot_wal_keep_size".to_owned(), "1MB".to_owned())];
    let cluster = Cluster::start(ClusterOptions { settings, ..ClusterOptions::default() }).unwrap();
    let name = cluster.create_database("bus_retained").unwrap();
    cluster.sql(&name, "CREATE TABLE mine (n int)").unwrap();
    let url = cluster.url(&name);
    let one = open(&url, PostgresOptions { poll_only: true, ..options() }).await.unwrap();
    let other = open(&url, options()).await.unwrap();
    until_slot(&other, PATIENCE).await;
    let mut subscriber = Subscriber::to(&other).await;
    // While it is open, a slot that decoded its first row may not let go of the log from there on.
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    client.batch_execute("BEGIN; INSERT INTO mine VALUES (1)").await.unwrap();
    append(&one, "a-1", 1).await;
    subscriber.take(1, PATIENCE).await;
    let began = Instant::now();
    while !cluster.log().contains("to release replication slot") {
        assert!(began.elapsed() < PATIENCE, "the slot was not given up: {}", cluster.log());
        for statement in ["INSERT INTO mine VALUES (2)", "SELECT pg_switch_wal()", "CHECKPOINT"] {
            cluster.sql(&name, statement).unwrap();
        }
    }
    append(&one, "a-1", 2).await;
    subscriber.take(3, Duration::from_secs(5)).await;
    client.batch_execute("COMMIT").await.unwrap();
    until("another session", Duration::from_secs(5), || measure(&other, "postgres_bus_connections") >= 2).await;
    until_slot(&other, Duration::from_secs(5)).await;
    append(&one, "a-1", 2).await;
    subscriber.take(5, Duration::from_secs(5)).await;
    subscriber.nothing_more().await;
    drop(client);
    driver.await.unwrap().unwrap();
}
