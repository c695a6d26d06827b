//! Clients that move money between accounts, over gRPC and over HTTP, and send again under the same ids what got no answer.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pacioli_client::http::{Ask, HttpError};
use pacioli_client::{Client, ClientConfig};
use pacioli_core::append::Refusal;
use pacioli_core::conformance::history::Random;
use pacioli_core::{
    Append, AppendOutcome, AppendRequest, EventId, EventStore, EventType, ExpectedVersion, NewEvent, StreamName,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::fold::Fact;

/// Accounts that everybody writes to.
const ACCOUNTS: usize = 24;
/// Clients of each kind.
const CLIENTS: usize = 2;

/// What the clients were told.
#[derive(Default)]
pub(crate) struct Told {
    acknowledged: BTreeSet<String>,
    refused: BTreeSet<String>,
    /// Refused by a projection that runs in appends.
    pub(crate) refused_by_projection: u64,
}

/// An event that is made: its id, type and data.
type Fresh = (Uuid, &'static str, Value);
/// What one append writes to one stream.
type StreamOf = (String, Vec<Fresh>);

/// Microseconds between two appends of a client, about.
const PAUSE_MICROS: u64 = 4_000;

/// Clients at work on one server or on several, of which each turns to the next where one does not answer.
pub(crate) struct Load {
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(urls: &[String], seed: u64) -> Load {
        let (told, stop) = (Arc::<Mutex<Told>>::default(), Arc::<AtomicBool>::default());
        let clients = (0..2 * CLIENTS).map(|number| {
            let client = One {
                random: Random::new(seed ^ ((number as u64 + 1) << 32)),
                servers: urls.iter().map(|url| connect(url)).collect(),
                at: number % urls.len(),
                over_http: number % 2 == 1,
                told: Arc::clone(&told),
                stop: Arc::clone(&stop),
            };
            tokio::spawn(client.run())
        });
        Load { clients: clients.collect(), told, stop }
    }

    /// Ends the clients, each when it knows what became of its last append.
    pub(crate) async fn stop(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("a client ends");
        }
        let mut told = self.told.lock().expect("no panic");
        std::mem::take(&mut *told)
    }
}

impl Told {
    /// What was acknowledged is in the log, once, and what was refused is not.
    pub(crate) fn check(&self, log: &[Fact]) -> Result<(), String> {
        let mut ids = BTreeSet::new();
        if let Some(twice) = log.iter().find(|fact| !ids.insert(&fact.id)) {
            return Err(format!("event {} is in the log twice", twice.id));
        }
        if let Some(lost) = self.acknowledged.iter().find(|id| !ids.contains(id)) {
            return Err(format!("event {lost} was acknowledged and is not in the log"));
        }
        match self.refused.iter().find(|id| ids.contains(id)) {
            Some(stored) => Err(format!("event {stored} was refused and is in the log")),
            None => Ok(()),
        }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }
}

fn connect(url: &str) -> Client {
    let config = ClientConfig {
        deadline: Duration::from_secs(2),
        try_timeout: Duration::from_secs(2),
        backoff_max: Duration::from_millis(50),
        ..ClientConfig::new(url)
    };
    Client::connect(config).expect("a client")
}

/// What became of one try.
enum Answer {
    Acknowledged,
    Refused { by_projection: bool },
    Unknown,
}

struct One {
    random: Random,
    servers: Vec<Client>,
    at: usize,
    over_http: bool,
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
}

impl One {
    async fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            let writes = self.writes();
            self.send_until_known(&writes).await;
            let pause = PAUSE_MICROS / 2 + self.random.below(PAUSE_MICROS as usize) as u64;
            tokio::time::sleep(Duration::from_micros(pause)).await;
        }
    }

    /// Streams with events: id, type and data.
    fn writes(&mut self) -> Vec<StreamOf> {
        // Few accounts are busy, some are rare.
        let account = self.random.below(ACCOUNTS).min(self.random.below(ACCOUNTS));
        let events = match self.random.below(10) {
            0 => 20,
            1..4 => 1 + self.random.below(5),
            _ => 1,
        };
        let moved = |random: &mut Random| {
            let amount = random.below(100) as i64 - 46;
            let kind = if amount >= 0 { "MoneyDeposited" } else { "MoneyWithdrawn" };
            let member = format!("note{}", random.below(4));
            (Uuid::now_v7(), kind, json!({ "amount": amount, member: "x".repeat(random.below(80)) }))
        };
        let stream = format!("account-{account}");
        let mut writes = vec![(stream, (0..events).map(|_| moved(&mut self.random)).collect())];
        if self.random.percent(15) {
            // Streams with the same key lie in the same partition.
            let payment = (Uuid::now_v7(), "PaymentMade", json!({ "amount": self.random.below(50) }));
            writes.push((format!("payment-{account}"), vec![payment]));
        }
        writes
    }

    async fn send_until_known(&mut self, writes: &[StreamOf]) {
        loop {
            let server = &self.servers[self.at];
            let answer = match self.over_http {
                true => send_over_http(server, writes).await,
                false => send_over_grpc(server, writes).await,
            };
            let ids = writes.iter().flat_map(|(_, events)| events.iter().map(|(id, _, _)| id.to_string()));
            let mut told = self.told.lock().expect("no panic");
            match answer {
                Answer::Acknowledged => told.acknowledged.extend(ids),
                Answer::Refused { by_projection } => {
                    told.refused.extend(ids);
                    told.refused_by_projection += u64::from(by_projection);
                }
                Answer::Unknown => {
                    drop(told);
                    self.at = (self.at + 1) % self.servers.len();
                    continue;
                }
            }
            return;
        }
    }
}

async fn send_over_grpc(client: &Client, writes: &[StreamOf]) -> Answer {
    let event = |(id, kind, data): &Fresh| {
        NewEvent::json(EventId(*id), EventType::new(*kind).expect("a type"), data.to_string())
    };
    let mut request: Option<AppendRequest> = None;
    for (stream, events) in writes {
        let (stream, events) = (StreamName::new(stream.clone()).expect("a name"), events.iter().map(event).collect());
        request = Some(match request {
            None => Append::to(stream, ExpectedVersion::Any, events),
            Some(request) => request.and(stream, ExpectedVersion::Any, events),
        });
    }
    match client.append(request.expect("at least one stream")).await {
        Ok(AppendOutcome::Appended(_)) => Answer::Acknowledged,
        Ok(AppendOutcome::Refused(Refusal::ByProjection { .. })) => Answer::Refused { by_projection: true },
        Ok(AppendOutcome::Refused(refusal)) => panic!("no id is used twice: {refusal}"),
        Ok(AppendOutcome::Conflict(conflict)) => panic!("nothing was expected: {conflict}"),
        Err(_) => Answer::Unknown,
    }
}

async fn send_over_http(client: &Client, writes: &[StreamOf]) -> Answer {
    let event = |(id, kind, data): &Fresh| json!({ "id": id.to_string(), "type": kind, "data": data });
    let events = |events: &[Fresh]| events.iter().map(event).collect::<Vec<_>>();
    let ask = match writes {
        [(stream, one)] => Ask::post(format!("/v1/streams/{stream}/events")).json(json!(events(one)).to_string()),
        several => {
            let write = |(stream, one): &(String, Vec<_>)| json!({ "stream": stream, "events": events(one) });
            let writes = several.iter().map(write).collect::<Vec<_>>();
            Ask::post("/v1/appends").json(json!({ "writes": writes }).to_string())
        }
    };
    let answer = async { client.http().ask(ask.patience(Duration::from_secs(2))).await?.bytes().await };
    match answer.await {
        Ok(_) => Answer::Acknowledged,
        Err(HttpError::Problem(problem)) if problem.kind().status() == 422 => {
            assert!(problem.to_string().contains("limits"), "only one projection refuses: {problem}");
            Answer::Refused { by_projection: true }
        }
        Err(HttpError::Problem(problem)) if problem.kind().status() < 500 => panic!("nothing was wrong: {problem}"),
        Err(_) => Answer::Unknown,
    }
}
