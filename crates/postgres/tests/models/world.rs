//! A store with read models in a database of its own, and a runner as simple as can be.

use std::sync::Arc;

use pacioli_core::place::{Epoch, Position};
use pacioli_core::{
    Append, AppendOutcome, EventId, EventStore, EventType, ExpectedVersion, NewEvent, Partition, StreamName,
};
use pacioli_postgres::{PostgresModels, PostgresOptions, PostgresStore};
use pacioli_projection::engine::{Advance, AdvanceError, Build, BuildNumber, EngineError, Role};
use pacioli_projection::file::Name;
use pacioli_projection::{Engine, Projection};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::support::{open, options};

pub(super) struct World {
    pub(super) url: String,
    pub(super) store: PostgresStore,
    pub(super) models: PostgresModels,
}

/// A handler an event, one set-based, and one of each kind of table beside.
pub(super) const BALANCES: &str = "-- projection: balances
-- version: 1
-- category: account

CREATE TABLE balances (account TEXT PRIMARY KEY, cents BIGINT NOT NULL, events BIGINT NOT NULL);

-- on: Deposited
INSERT INTO balances (account, cents, events) VALUES (:stream, :data.cents, 1)
ON CONFLICT (account) DO UPDATE SET cents = balances.cents + excluded.cents, events = balances.events + 1;

-- on: Withdrawn
UPDATE balances SET cents = cents - CAST(:data.cents AS bigint), events = events + 1 WHERE account = :stream;
";

pub(super) const COUNTS: &str = "-- projection: counts
-- version: 1
-- category: account

CREATE TABLE counts (type TEXT PRIMARY KEY, events BIGINT NOT NULL, cents BIGINT);

-- on batch:
INSERT INTO counts (type, events, cents)
SELECT type, count(*), sum(CAST(data ->> 'cents' AS bigint)) FROM batch GROUP BY type
ON CONFLICT (type) DO UPDATE SET events = counts.events + excluded.events, cents = counts.cents + excluded.cents;
";

impl World {
    pub(super) async fn new(label: &'static str) -> World {
        World::with(label, options()).await
    }

    pub(super) async fn with(label: &'static str, options: PostgresOptions) -> World {
        let url = tokio::task::spawn_blocking(move || pacioli_pgtest::database_url(label)).await.expect("a database");
        let store = open(&url, options).await.expect("a store");
        let models = PostgresModels::open(&store, None, None).await.expect("read models");
        World { url, store, models }
    }

    pub(super) async fn client(&self) -> Client {
        connect(&self.url).await
    }

    /// One value of the database, as text.
    pub(super) async fn value(&self, sql: &str) -> String {
        let client = self.client().await;
        let row =
            client.query_opt(&format!("SELECT ({sql})::text"), &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        row.and_then(|row| row.get::<_, Option<String>>(0)).unwrap_or_default()
    }

    pub(super) async fn append(&self, stream: &str, events: Vec<NewEvent>) -> AppendOutcome {
        let append = Append::to(StreamName::new(stream).expect("a name"), ExpectedVersion::Any, events);
        self.store.append(append).await.expect("an outcome")
    }

    /// Appends `count` deposits of 1 cent to each of `streams` accounts.
    pub(super) async fn deposit(&self, streams: usize, count: usize) {
        for stream in 0..streams {
            let events = (0..count).map(|_| event("Deposited", r#"{"cents":1}"#)).collect();
            self.append(&format!("account-{stream}"), events).await;
        }
    }

    pub(super) async fn begin(&self, text: &str) -> Build {
        self.models.begin(&projection(text), 1).await.unwrap_or_else(|e| panic!("{e}"))
    }

    pub(super) async fn build(&self, name: &str, number: u32) -> Build {
        let builds = self.models.builds().await.expect("builds");
        let found = builds.into_iter().find(|build| build.projection.name.as_str() == name && build.number.0 == number);
        found.unwrap_or_else(|| panic!("no build {number} of {name}"))
    }

    pub(super) async fn role(&self, name: &str, number: u32) -> Role {
        self.build(name, number).await.role
    }

    /// Advances one build to the head.
    pub(super) async fn catch_up(&self, name: &str, number: u32) -> Result<(), AdvanceError> {
        catch_up(&self.models, name, number, 500).await
    }

    pub(super) async fn swap(&self, named: &str, number: u32) -> Result<(), EngineError> {
        self.models.swap(&name(named), BuildNumber(number)).await
    }
}

/// Advances a build to the head, as a runner does.
pub(super) async fn catch_up(
    models: &dyn Engine,
    name: &str,
    number: u32,
    events_max: usize,
) -> Result<(), AdvanceError> {
    loop {
        let head = models.head().await?;
        let builds = models.builds().await.expect("builds");
        let build = builds.into_iter().find(|build| build.projection.name.as_str() == name && build.number.0 == number);
        let build = Arc::new(build.ok_or(AdvanceError::Moved)?);
        let behind: Vec<_> =
            build.progress.iter().filter(|stands| stands.position < head.position(stands.partition)).collect();
        if behind.is_empty() {
            return Ok(());
        }
        for stands in behind {
            let advance = Advance {
                build: Arc::clone(&build),
                worker: stands.worker,
                partition: stands.partition,
                after: stands.position,
                up_to: head.position(stands.partition),
                epoch: head.epoch(),
                events_max,
            };
            models.advance(advance).await?;
        }
    }
}

pub(super) fn step(build: &Build, after: u64, up_to: u64, events_max: usize) -> Advance {
    Advance {
        build: Arc::new(build.clone()),
        worker: 0,
        partition: Partition(0),
        after: Position(after),
        up_to: Position(up_to),
        events_max,
        epoch: Epoch::FIRST,
    }
}

pub(super) fn projection(text: &str) -> Projection {
    let found = |findings: Vec<_>| panic!("{}", pacioli_projection::file::listed(&findings));
    Projection::parse("test.sql", text).unwrap_or_else(found)
}

pub(super) fn name(name: &str) -> Name {
    Name::new(name).expect("a name")
}

pub(super) fn event(event_type: &str, data: &str) -> NewEvent {
    NewEvent::json(EventId(Uuid::now_v7()), EventType::new(event_type).expect("a type"), data.to_owned())
}

pub(super) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the database answers");
    tokio::spawn(connection);
    client
}
