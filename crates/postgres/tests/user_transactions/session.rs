//! A store, and sessions of applications on its database that know nothing of this crate.

use std::time::{Duration, Instant};

use pacioli_core::{Checkpoint, Epoch, EventStore, Filter, PayloadChoice, Position, ReadLog, RecordedEvent};
use pacioli_postgres::{PostgresOptions, PostgresStore};
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{Client, NoTls, Row};
use uuid::Uuid;

use crate::support::{open, options};

/// A store in a database of its own.
pub(super) struct Subject {
    pub(super) store: PostgresStore,
    url: String,
}

/// What `append` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) versions: (i64, i64),
    pub(super) positions: (i64, i64),
    pub(super) checkpoint: String,
    pub(super) duplicate: bool,
}

/// The arguments of `append`.
#[derive(Clone, Debug)]
pub(super) struct Asked<'a> {
    pub(super) stream: &'a str,
    pub(super) expected: &'a str,
    pub(super) events: Vec<String>,
    pub(super) key: Option<Uuid>,
    pub(super) unless: Option<String>,
}

/// One event to `stream`, and nothing asked.
pub(super) fn asked(stream: &str) -> Asked<'_> {
    Asked { stream, expected: "any", events: vec![r#"{"type":"E","data":{}}"#.to_owned()], key: None, unless: None }
}

impl Asked<'_> {
    pub(super) fn events<const N: usize>(self, events: [&str; N]) -> Self {
        Asked { events: events.iter().map(|event| (*event).to_owned()).collect(), ..self }
    }
}

impl Subject {
    pub(super) async fn new(label: &'static str, partitions: u16) -> Subject {
        Subject::with(label, partitions, options()).await
    }

    pub(super) async fn with(label: &'static str, partitions: u16, options: PostgresOptions) -> Subject {
        let url = tokio::task::spawn_blocking(move || pacioli_pgtest::database_url(label)).await.expect("a database");
        let options = PostgresOptions { partitions: Some(partitions), ..options };
        let store = open(&url, options).await.expect("the store opens");
        Subject { store, url }
    }

    /// A session of an application.
    pub(super) async fn session(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.expect("a session");
        tokio::spawn(connection);
        client
    }

    /// The head of every partition, asked of the database: the store notices what others append a moment later.
    async fn heads(&self) -> Checkpoint {
        let session = self.session().await;
        let heads = "SELECT coalesce(max(c.last_pos), 0) FROM pacioli.heads h LEFT JOIN pacioli.commits c USING (part)
                      GROUP BY h.part ORDER BY h.part";
        let heads = session.query(heads, &[]).await.expect("the heads are read");
        Checkpoint::new(heads.iter().map(|row| Position(row.get::<_, i64>(0) as u64)), Epoch::FIRST)
    }

    /// Everything in the log, after a look at whether it can be a log: no gap in positions and versions, time not running
    /// backwards.
    pub(super) async fn log(&self) -> Vec<RecordedEvent> {
        let heads = self.heads().await;
        let begun = Instant::now();
        let mut events: Vec<RecordedEvent> = Vec::new();
        let mut after: Option<Checkpoint> = None;
        loop {
            let read =
                ReadLog { after: after.clone(), filter: Filter::default(), limit: 1_000, payload: PayloadChoice::All };
            let page = self.store.read_log(read).await.expect("the log is read");
            events.extend(page.events.iter().map(|event| (**event).clone()));
            if page.checkpoint.covers(&heads) {
                break;
            }
            if page.at_head() {
                assert!(begun.elapsed() < Duration::from_secs(10), "the store notices what others append");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            after = Some(page.checkpoint);
        }
        events.sort_by_key(RecordedEvent::place);
        for (index, event) in events.iter().enumerate() {
            let before = index.checked_sub(1).map(|before| &events[before]).filter(|b| b.partition == event.partition);
            assert_eq!(event.position.0, before.map_or(0, |before| before.position.0) + 1, "positions have no gap");
            assert!(before.is_none_or(|before| before.recorded_at <= event.recorded_at), "time does not run backwards");
            assert_eq!(event.partition, event.stream.partition(self.store.partitions()), "where its key belongs");
            let earlier = events[..index].iter().filter(|earlier| earlier.stream == event.stream).count();
            assert_eq!(event.version.0, earlier as u64, "versions have no gap in {}", event.stream);
        }
        events
    }
}

/// Calls `append`.
pub(super) async fn append(session: &Client, asked: &Asked<'_>) -> Result<Answer, tokio_postgres::Error> {
    let row = call(session, "append", asked).await?;
    Ok(Answer {
        versions: (row.get("first_version"), row.get("last_version")),
        positions: (row.get("first_position"), row.get("last_position")),
        checkpoint: row.get("checkpoint"),
        duplicate: row.get("duplicate"),
    })
}

/// Calls `append_deferred`.
pub(super) async fn defer(session: &Client, asked: &Asked<'_>) -> Result<(), tokio_postgres::Error> {
    call(session, "append_deferred", asked).await.map(drop)
}

async fn call(session: &Client, function: &str, asked: &Asked<'_>) -> Result<Row, tokio_postgres::Error> {
    let Asked { stream, expected, events, key, unless } = asked;
    let call = format!("SELECT * FROM pacioli.{function}($1, $2, $3::text[]::jsonb[], $4, $5::text::jsonb)");
    session.query_one(&call, &[stream, expected, events, key, unless]).await
}

/// What the database said instead of an answer.
pub(super) fn refused<T: std::fmt::Debug>(outcome: Result<T, tokio_postgres::Error>) -> DbError {
    let error = outcome.expect_err("an error");
    error.as_db_error().unwrap_or_else(|| panic!("an error of the database, not {error:?}")).clone()
}

/// A conflict: the transaction may be tried again, after another look.
pub(super) fn conflict<T: std::fmt::Debug>(outcome: Result<T, tokio_postgres::Error>) -> DbError {
    let error = refused(outcome);
    assert_eq!(*error.code(), SqlState::T_R_SERIALIZATION_FAILURE, "{error}");
    error
}
