//! A log in memory, tables in memory, and any number of servers over both.

pub(crate) mod engine;
pub(crate) mod leases;
pub(crate) mod random;
pub(crate) mod tables;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use pacioli_core::append::ExpectedVersion;
use pacioli_core::memory::MemoryStore;
use pacioli_core::store::Epochs;
use pacioli_core::{
    Append, AppendOutcome, Checkpoint, Clock, Direction, Epoch, EventId, EventStore, EventType, Limits, NewEvent,
    PayloadChoice, ReadStream, StreamName, Timestamp,
};
use pacioli_projection::answer::{Answer, Value};
use pacioli_projection::engine::QueryLimits;
use pacioli_projection::file::Name;
use pacioli_projection::service::{Ask, AskError, Status};
use pacioli_projection::{ReadModels, ReadModelsOptions};
use uuid::Uuid;

use engine::MemoryEngine;
use leases::ServerStore;
use tables::Database;

/// Tokio's time, which tests let pass as they like.
pub(crate) struct TestClock {
    began: tokio::time::Instant,
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + self.began.elapsed().as_micros() as i64)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A log and tables.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) database: Arc<Database>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) epochs: Arc<Rewinds>,
}

/// The epochs that the log had, as all servers over it are told.
#[derive(Default)]
pub(crate) struct Rewinds {
    began: Mutex<Vec<(Epoch, Checkpoint)>>,
}

impl Rewinds {
    pub(crate) fn epochs(&self) -> Epochs {
        Epochs::new(self.began.lock().unwrap().clone())
    }

    /// Says that the log was rewound to a checkpoint: what lies behind it now came later.
    pub(crate) fn rewind(&self, to: &str) {
        let mut began = self.began.lock().unwrap();
        let epoch = Epoch(began.len() as u32 + 2);
        began.push((epoch, to.parse::<Checkpoint>().unwrap().in_epoch(epoch)));
    }
}

/// One server.
pub(crate) struct Server {
    pub(crate) models: ReadModels,
    pub(crate) engine: Arc<MemoryEngine>,
    pub(crate) store: Arc<ServerStore>,
}

impl World {
    pub(crate) fn new() -> World {
        World::with_partitions(1)
    }

    pub(crate) fn with_partitions(partitions: u16) -> World {
        let clock = Arc::new(TestClock { began: tokio::time::Instant::now() });
        let store = MemoryStore::new(partitions, Limits::default(), Arc::clone(&clock) as Arc<dyn Clock>);
        World { store, database: Arc::default(), clock, epochs: Arc::default() }
    }

    pub(crate) async fn server(&self, owner: &str) -> Server {
        self.server_with(owner, |_| ()).await
    }

    pub(crate) async fn server_with(&self, owner: &str, change: impl FnOnce(&mut ReadModelsOptions)) -> Server {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let epochs = Arc::clone(&self.epochs);
        let engine =
            MemoryEngine::new(Arc::clone(&self.database), self.store.clone(), Arc::clone(&clock), Arc::clone(&epochs));
        let engine = Arc::new(engine);
        let store = ServerStore::new(self.store.clone(), epochs);
        let mut options = ReadModelsOptions { owner: owner.to_owned(), clock, ..ReadModelsOptions::default() };
        change(&mut options);
        let models = ReadModels::start(Arc::clone(&engine) as _, Arc::clone(&store) as _, options).await.unwrap();
        Server { models, engine, store }
    }

    /// Appends events to a stream, all in one append; returns where they are.
    pub(crate) async fn append(&self, stream: &str, event_type: &str, events: usize) -> Checkpoint {
        let event = || NewEvent::json(EventId(Uuid::now_v7()), EventType::new(event_type).unwrap(), r#"{"cents": 1}"#);
        let stream = StreamName::new(stream).unwrap();
        let mut checkpoint = None;
        let mut left = events;
        while left > 0 {
            let now = left.min(1_000);
            let batch = (0..now).map(|_| event()).collect();
            let request = Append::to(stream.clone(), ExpectedVersion::Any, batch);
            match self.store.append(request).await.unwrap() {
                AppendOutcome::Appended(appended) => checkpoint = Some(appended.checkpoint),
                other => panic!("{other:?}"),
            }
            left -= now;
        }
        checkpoint.unwrap()
    }

    pub(crate) async fn head(&self) -> Checkpoint {
        self.store.head().await.unwrap()
    }

    /// The types and data of the events that say what was done to a projection.
    pub(crate) async fn recorded(&self, name: &str) -> Vec<(String, serde_json::Value, Option<String>)> {
        let read = ReadStream {
            stream: StreamName::new(format!("$projection-{name}")).unwrap(),
            from: None,
            direction: Direction::Forward,
            limit: 1_000,
            payload: PayloadChoice::All,
        };
        let Ok(page) = self.store.read_stream(read).await else { return Vec::new() };
        let told = page.events.iter().map(|event| {
            let data = serde_json::from_slice(event.data.bytes()).unwrap();
            (event.event_type.to_string(), data, event.metadata.actor.as_deref().map(str::to_owned))
        });
        told.collect()
    }

    pub(crate) async fn recorded_types(&self, name: &str) -> Vec<String> {
        self.recorded(name).await.into_iter().map(|(event_type, ..)| event_type).collect()
    }

    /// Every build's rows are what an independent fold gives, and no event was applied twice.
    pub(crate) async fn check_exactly_once(&self, engine: &MemoryEngine) {
        let head = self.head().await;
        let builds = self.database.tables().builds.clone();
        for stored in builds {
            let name = &stored.build.projection.name;
            let once: BTreeSet<_> = stored.applied.iter().collect();
            assert_eq!(once.len(), stored.applied.len(), "`{name}` applied an event twice");
            let checkpoint = stored.build.checkpoint(&head);
            let furthest =
                stored.build.progress.iter().all(|stands| stands.position == checkpoint.position(stands.partition));
            if furthest {
                assert_eq!(stored.rows, engine.folded(&stored.build.projection, &checkpoint).await, "`{name}`");
            }
        }
    }
}

impl Server {
    pub(crate) async fn add(&self, text: &str) {
        self.models.add("test.sql", text, Some("anna")).await.unwrap();
    }

    pub(crate) async fn ask(
        &self,
        sql: &str,
        at_least: Option<&Checkpoint>,
        deadline: Duration,
    ) -> Result<Answer, AskError> {
        let ask = Ask {
            sql: sql.to_owned(),
            as_of: None,
            at_least: at_least.cloned(),
            deadline,
            limits: QueryLimits::default(),
        };
        self.models.query(ask).await
    }

    /// Waits until the table has everything up to the checkpoint.
    pub(crate) async fn caught_up(&self, table: &str, at_least: &Checkpoint) -> Answer {
        self.ask(&format!("SELECT * FROM {table}"), Some(at_least), Duration::from_secs(600)).await.unwrap()
    }

    pub(crate) async fn status(&self, name: &str) -> Status {
        self.models.status(&named(name)).await.unwrap()
    }

    /// Waits until the status is as wished.
    pub(crate) async fn until(&self, name: &str, is: impl Fn(&Status) -> bool) -> Status {
        let patience = tokio::time::Instant::now() + Duration::from_secs(120);
        loop {
            let status = self.status(name).await;
            if is(&status) {
                return status;
            }
            assert!(tokio::time::Instant::now() < patience, "{status:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(crate) fn named(name: &str) -> Name {
    Name::new(name).unwrap()
}

/// A projection with one table of its own name; `header` holds further lines.
pub(crate) fn file(name: &str, version: u32, header: &str) -> String {
    format!(
        "-- projection: {name}\n-- version: {version}\n{header}\n\
         CREATE TABLE {name} (stream TEXT PRIMARY KEY, events BIGINT NOT NULL);\n\n\
         -- on: *\n\
         INSERT INTO {name} (stream, events) VALUES (:stream, 1)\n\
         ON CONFLICT (stream) DO UPDATE SET events = {name}.events + 1;\n"
    )
}

/// The same, set-based.
pub(crate) fn batch_file(name: &str, version: u32, header: &str) -> String {
    format!(
        "-- projection: {name}\n-- version: {version}\n{header}\n\
         CREATE TABLE {name} (stream TEXT PRIMARY KEY, events BIGINT NOT NULL);\n\n\
         -- on batch:\n\
         INSERT INTO {name} (stream, events) SELECT stream, count(*) FROM batch WHERE true GROUP BY 1\n\
         ON CONFLICT (stream) DO UPDATE SET events = {name}.events + excluded.events;\n"
    )
}

/// How many events a stream had, by an answer.
pub(crate) fn events_of(answer: &Answer, stream: &str) -> i64 {
    let row = answer.rows.iter().find(|row| row[0] == Value::Text(stream.to_owned()));
    match row.map(|row| &row[1]) {
        Some(Value::Int(events)) => *events,
        None => 0,
        other => panic!("{other:?}"),
    }
}

/// All rows' events.
pub(crate) fn total(answer: &Answer) -> i64 {
    answer.rows.iter().map(|row| if let Value::Int(events) = row[1] { events } else { 0 }).sum()
}
