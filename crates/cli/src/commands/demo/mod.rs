//! `pacioli demo`: the product's story, told by a real server on an embedded store in a temporary directory.

mod narrator;
mod read_model;
mod schema;
mod seeded;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures::StreamExt;
use pacioli_api::json::{self, AppendBody};
use pacioli_api::time;
use pacioli_core::{
    Append, AppendOutcome, AppendRequest, Checkpoint, Deliveries, Delivery, Direction, EventStore, EventType,
    ExpectedVersion, NewEvent, PayloadChoice, ReadStream, RecordedEvent, StreamName, Subscribe, Timestamp, Version,
};
use pacioli_projection::ReadModelsOptions;
use pacioli_schema::SchemaGate;
use pacioli_server::schemas::Registry;
use pacioli_server::{EngineSource, Models, OpenReadModels};
use pacioli_sqlite::{SqliteOptions, SqliteStore};

use crate::failure::Failure;
use crate::host::Host;
use crate::output::grouped;
use crate::pipeline::{Pipeline, Unanswered};
use crate::target::Target;
use narrator::Narrator;
use seeded::{Ids, StoryClock};

/// Events of the bulk load, and the accounts they go to.
const BULK_EVENTS: u64 = 50_000;
const BULK_ACCOUNTS: u64 = 1_000;
/// Bulk appends on their way at most.
const BULK_IN_FLIGHT: usize = 512;
/// The account that the story is about.
const ACCOUNT: &str = "account-luca";

/// See what it does: a story of a few accounts, told in some seconds
///
/// It starts a real server on a free port in a temporary directory, runs each step against it, and prints the command
/// that the step stands for with its real answer. Nothing is left behind.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  pacioli demo
  pacioli demo --seed 7      # other ids and keys, the same story"#)]
pub(crate) struct Demo {
    /// Where the ids and keys come from. Same seed, same output, but for the rate of the bulk load
    #[arg(long, default_value_t = 1494)]
    seed: u64,
}

impl Demo {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        tokio::select! {
            told = Box::pin(self.tell()) => told,
            // The temporary directory goes with the story.
            () = crate::host::interrupted() => Err(Failure::failed("interrupted")),
        }
    }

    async fn tell(self) -> Result<(), Failure> {
        let directory = tempfile::Builder::new().prefix("pacioli-demo-").tempdir();
        let directory = directory.map_err(Failure::io("could not make a temporary directory"))?;
        let clock = Arc::new(StoryClock::new());
        let gate = Arc::new(SchemaGate::new());
        let options = SqliteOptions {
            clock: Arc::clone(&clock) as _,
            gate: Some(Arc::clone(&gate) as _),
            ..SqliteOptions::default()
        };
        let embedded = SqliteStore::open(directory.path(), options).map_err(|error| Failure::failed(error.reason))?;
        let embedded = Arc::new(embedded);
        let schemas = Registry::new(gate, Arc::clone(&embedded) as _, Arc::clone(&embedded) as _);
        let engine = EngineSource::Sqlite(Arc::clone(&embedded));
        let run = ReadModelsOptions { clock: Arc::clone(&clock) as _, ..ReadModelsOptions::default() };
        let models = engine.open_read_models(OpenReadModels { run, ..OpenReadModels::default() }).await?;
        let host = Host::start(embedded, Models::On(models), Some(schemas)).await?;
        let target = host.connect().await?;
        let mut story = Story { store: target.store(), clock, ids: Ids::new(self.seed), tell: Narrator::new() };
        story.opening()?;
        story.first_account().await?;
        story.stale_append().await?;
        story.same_request_twice().await?;
        story.live_subscriber().await?;
        story.two_moments().await?;
        let head = story.bulk_load(&target).await?;
        story.read_model(&target, &head).await?;
        story.schema(&target).await?;
        story.closing()?;
        drop(story);
        drop(target);
        host.stop().await
    }
}

struct Story {
    store: Arc<dyn EventStore>,
    clock: Arc<StoryClock>,
    ids: Ids,
    tell: Narrator,
}

impl Story {
    fn opening(&mut self) -> Result<(), Failure> {
        self.tell.text("Pacioli keeps events, and never erases one. Here is a real server on an embedded store:")?;
        self.tell.command("pacioli serve")?;
        self.tell.gap()
    }

    async fn first_account(&mut self) -> Result<(), Failure> {
        self.tell.step("Luca opens an account. The stream must not exist yet, and every answer is on disk.")?;
        self.tell.command(&append_text("AccountOpened", r#"{"owner":"Luca"}"#, "--expect none"))?;
        let opened = self.request("AccountOpened", r#"{"owner":"Luca"}"#, ExpectedVersion::None);
        self.appended(opened).await?;
        self.clock.advance(Duration::from_secs(15 * 60));
        self.tell.command(&append_text("MoneyDeposited", r#"{"amount":100}"#, "--expect 0"))?;
        let deposited = self.request("MoneyDeposited", r#"{"amount":100}"#, ExpectedVersion::Exact(Version(0)));
        self.appended(deposited).await?;
        self.tell.gap()
    }

    async fn stale_append(&mut self) -> Result<(), Failure> {
        self.tell.step("A second teller still believes in version 0. Nothing is stored, and it learns why.")?;
        self.tell.command(&append_text("MoneyWithdrawn", r#"{"amount":80}"#, "--expect 0"))?;
        let stale = self.request("MoneyWithdrawn", r#"{"amount":80}"#, ExpectedVersion::Exact(Version(0)));
        match self.store.append(stale).await? {
            AppendOutcome::Conflict(conflict) => self.tell.conflict(&conflict.to_string())?,
            other => return Err(unexpected("a conflict", &other)),
        }
        self.tell.gap()
    }

    async fn same_request_twice(&mut self) -> Result<(), Failure> {
        self.tell.step("A reply gets lost, so the same request is sent twice. It is stored once.")?;
        let key = self.ids.key();
        let command = append_text("MoneyDeposited", r#"{"amount":50}"#, &format!("--key {key}"));
        self.clock.advance(Duration::from_secs(45 * 60));
        for _ in 0..2 {
            self.tell.command(&command)?;
            // New event ids each time, as two runs of the command make them: the key recognises the request.
            let request = self.request("MoneyDeposited", r#"{"amount":50}"#, ExpectedVersion::Any).key(key);
            self.appended(request).await?;
        }
        self.tell.gap()
    }

    async fn live_subscriber(&mut self) -> Result<(), Failure> {
        self.tell.step("Another terminal follows the log: first what it missed, then live.")?;
        self.tell.command("pacioli log --after 0:2 --follow")?;
        let after: Checkpoint = "0:2".parse().map_err(|error| Failure::failed(format!("{error}")))?;
        let subscribe = Subscribe { after: Some(after), ..Subscribe::default() };
        let mut deliveries = self.store.subscribe(subscribe).await?;
        self.next_event(&mut deliveries).await?;
        self.clock.advance(Duration::from_secs(5 * 60 * 60));
        self.tell.command(&append_text("MoneyWithdrawn", r#"{"amount":30}"#, "--expect 2"))?;
        let withdrawn = self.request("MoneyWithdrawn", r#"{"amount":30}"#, ExpectedVersion::Exact(Version(2)));
        self.appended(withdrawn).await?;
        self.next_event(&mut deliveries).await?;
        self.tell.gap()
    }

    async fn next_event(&mut self, deliveries: &mut Deliveries) -> Result<(), Failure> {
        let patience = Duration::from_secs(10);
        while let Ok(Some(delivery)) = tokio::time::timeout(patience, deliveries.next()).await {
            if let Delivery::Events { events, .. } = delivery? {
                for event in events {
                    self.tell.arrives(&line(&event))?;
                }
                return Ok(());
            }
        }
        Err(Failure::failed("the subscriber saw no event within 10 s"))
    }

    async fn two_moments(&mut self) -> Result<(), Failure> {
        self.tell.step("The balance is a fold over the events, so it can be told as of any moment.")?;
        self.tell.command(&format!("pacioli read {ACCOUNT}"))?;
        let read = ReadStream {
            stream: self.stream(),
            from: None,
            direction: Direction::Forward,
            limit: 100,
            payload: PayloadChoice::All,
        };
        let events = self.store.read_stream(read).await?.events;
        for event in &events {
            self.tell.answer(&line(event))?;
        }
        let (noon, now) = (StoryClock::at_hour(12), self.clock.moment());
        for (name, moment) in [("at noon", noon), ("now", now)] {
            let (balance, version) = balance_as_of(&events, moment);
            self.tell.answer(&format!("balance {name:<8} {balance:>4}   (as of version {version})"))?;
        }
        self.tell.gap()
    }

    async fn bulk_load(&mut self, target: &Target) -> Result<Checkpoint, Failure> {
        let sentence =
            format!("A bulk load: {} deposits, each an append of its own, each durable.", grouped(BULK_EVENTS));
        self.tell.step(&sentence)?;
        self.tell.command("pacioli import deposits.ndjson.gz")?;
        let began = Instant::now();
        let mut pipeline = Pipeline::new(target, BULK_IN_FLIGHT);
        let mut sent = 0;
        while sent < BULK_EVENTS || !pipeline.is_empty() {
            if sent < BULK_EVENTS && pipeline.has_room() {
                let stream = StreamName::new(format!("account-{:04}", sent % BULK_ACCOUNTS));
                let stream = stream.map_err(|error| Failure::failed(error.to_string()))?;
                let deposit = format!(r#"{{"amount":{}}}"#, 1 + sent % 500);
                let event = NewEvent::json(self.ids.event(), EventType::from_storage("MoneyDeposited"), deposit);
                pipeline.send(sent, Append::to(stream, ExpectedVersion::Any, vec![event])).await;
                sent += 1;
                continue;
            }
            match pipeline.answer().await?.result {
                Ok(AppendOutcome::Appended(_)) => {}
                Ok(other) => return Err(unexpected("a stored event", &other)),
                Err(Unanswered::Invalid(invalid)) => return Err(Failure::failed(invalid.to_string())),
                Err(Unanswered::Failed(failure)) => return Err(failure),
            }
        }
        let rate = BULK_EVENTS as f64 / began.elapsed().as_secs_f64().max(1e-9);
        let head = self.store.head().await?;
        self.tell.answer(&format!(
            "imported {} events at {} events/s; the head is {head}",
            grouped(BULK_EVENTS),
            grouped(rate as u64)
        ))?;
        self.tell.gap()?;
        Ok(head)
    }

    fn closing(&mut self) -> Result<(), Failure> {
        self.tell.text("That was all in a temporary directory, which is gone. Now yours:")?;
        self.tell.commands(&[
            ("pacioli serve", "keeps its events in ./pacioli-data"),
            ("pacioli log --follow", "in a second terminal"),
            ("pacioli append account-1 --type AccountOpened --data '{}' --expect none", "in a third"),
        ])?;
        Ok(())
    }

    fn stream(&self) -> StreamName {
        StreamName::from_storage(ACCOUNT)
    }

    fn request(&mut self, event_type: &str, data: &'static str, expected: ExpectedVersion) -> AppendRequest {
        let event = NewEvent::json(self.ids.event(), EventType::from_storage(event_type), data);
        Append::to(self.stream(), expected, vec![event])
    }

    async fn appended(&mut self, request: AppendRequest) -> Result<(), Failure> {
        match self.store.append(request).await? {
            AppendOutcome::Appended(appended) => self.tell.answer(&json::to_string(&AppendBody::from(&appended))),
            other => Err(unexpected("a stored event", &other)),
        }
    }
}

/// The balance after all events that were recorded up to `moment`, and the version it stands at.
fn balance_as_of(events: &[Arc<RecordedEvent>], moment: Timestamp) -> (i64, Version) {
    let mut state = (0, Version::FIRST);
    for event in events.iter().filter(|event| event.recorded_at <= moment) {
        let data: serde_json::Value = serde_json::from_slice(event.data.bytes()).unwrap_or_default();
        let amount = data["amount"].as_i64().unwrap_or(0);
        state.1 = event.version;
        match event.event_type.as_str() {
            "MoneyDeposited" => state.0 += amount,
            "MoneyWithdrawn" => state.0 -= amount,
            _ => {}
        }
    }
    state
}

/// An event as a row of the table that `read` and `log` print, short enough for the story.
fn line(event: &RecordedEvent) -> String {
    let time = time::format(event.recorded_at);
    let time = time.get(11..16).unwrap_or(&time);
    let data = String::from_utf8_lossy(event.data.bytes()).into_owned();
    format!(
        "{:>4}  {}  {}  {time}  {:<15} {data}",
        event.place().to_string(),
        event.stream,
        event.version,
        event.event_type.as_str()
    )
}

fn append_text(event_type: &str, data: &str, options: &str) -> String {
    format!("pacioli append {ACCOUNT} --type {event_type} --data '{data}' {options}")
}

fn unexpected(wanted: &str, outcome: &AppendOutcome) -> Failure {
    Failure::failed(format!("the demo expected {wanted} and got {outcome:?}"))
}
