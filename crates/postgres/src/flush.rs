//! The end of a batch's transaction: its rows, what projections make of them, and COMMIT, sent in one flush.

use std::collections::hash_map::{Entry, HashMap};

use futures::FutureExt;
use futures::future::BoxFuture;
use pacioli_core::decide::Batch;
use pacioli_core::place::Checkpoint;
use pacioli_core::{Partition, StreamName};
use postgres_types::ToSql;
use tokio_postgres::Statement;

use crate::connect::Session;
use crate::error::{Error, Result};
use crate::facts::Locked;
use crate::row::{Columns, Moment, Raw};
use crate::shared::Shared;

/// What a batch writes.
pub(crate) struct Rows<'a> {
    pub(crate) partition: Partition,
    pub(crate) locked: Locked,
    pub(crate) batch: &'a Batch,
    pub(crate) last_chunks: &'a HashMap<StreamName, i32>,
    pub(crate) stood: &'a HashMap<String, Checkpoint>,
}

/// A stream as a batch leaves it.
struct Moved {
    version: i64,
    last_chunk: i32,
    first_pos: i64,
}

/// Sends everything and COMMIT behind it in one flush.
pub(crate) async fn insert(shared: &Shared, session: &Session, rows: Rows<'_>) -> Result<()> {
    let Rows { partition, locked, batch, last_chunks, stood } = rows;
    let part = i32::from(partition.0);
    let events = batch.events();
    let at = Moment(locked.now);
    let first = locked.head.next();
    let last = batch.heads().position(partition);
    assert_eq!(events.first().map(|event| event.position), Some(first), "positions are gapless");
    assert_eq!(last, locked.head.plus(events.len() as u64), "positions are gapless");

    let columns = Columns::of(events);
    let mut moved: HashMap<&str, Moved> = HashMap::with_capacity(events.len());
    let (mut chunk_streams, mut chunk_numbers, mut chunk_versions) = (Vec::new(), Vec::new(), Vec::new());
    for event in events {
        let chunk = shared.chunk_of(event.position);
        let version = event.version.0 as i64;
        let before = match moved.entry(event.stream.as_str()) {
            Entry::Vacant(vacant) => {
                let before = last_chunks.get(&event.stream).copied();
                vacant.insert(Moved { version, last_chunk: chunk, first_pos: event.position.0 as i64 });
                before
            }
            Entry::Occupied(mut occupied) => {
                let stream = occupied.get_mut();
                assert_eq!(version, stream.version + 1, "versions are gapless");
                stream.version = version;
                Some(std::mem::replace(&mut stream.last_chunk, chunk))
            }
        };
        if before != Some(chunk) {
            chunk_streams.push(event.stream.as_str());
            chunk_numbers.push(chunk);
            chunk_versions.push(version);
        }
    }
    let mut streams: Vec<(&str, Moved)> = moved.into_iter().collect();
    streams.sort_unstable_by_key(|(stream, _)| *stream);
    let stream_names: Vec<&str> = streams.iter().map(|(stream, _)| *stream).collect();
    let stream_versions: Vec<i64> = streams.iter().map(|(_, moved)| moved.version).collect();
    let stream_chunks: Vec<i32> = streams.iter().map(|(_, moved)| moved.last_chunk).collect();
    let stream_starts: Vec<i64> = streams.iter().map(|(_, moved)| moved.first_pos).collect();
    let keys: Vec<uuid::Uuid> = batch.keys().iter().map(|(key, _)| *key).collect();
    let key_positions: Vec<i64> = batch.keys().iter().map(|(_, known)| known.answer.first_position.0 as i64).collect();
    let key_events: Vec<i32> = batch
        .keys()
        .iter()
        .map(|(_, known)| (known.answer.last_position.0 - known.answer.first_position.0 + 1) as i32)
        .collect();
    let key_contents: Vec<Raw<'_>> = batch.keys().iter().map(|(_, known)| Raw(&known.content)).collect();
    // The last checkpoint of a consumer is the one it stands at.
    let consumers: HashMap<&str, String> =
        batch.tracking().iter().map(|tracking| (tracking.name.as_str(), tracking.checkpoint.to_string())).collect();

    let (insert_events, insert_ids, insert_chunks, upsert_streams) = tokio::try_join!(
        session.prepare_cached(sql!("insert_events")),
        session.prepare_cached(sql!("insert_event_ids")),
        session.prepare_cached(sql!("insert_stream_chunks")),
        session.prepare_cached(sql!("upsert_streams")),
    )?;
    let (insert_tags, insert_keys, insert_commit, confirm, insert_consumer, update_consumer) = tokio::try_join!(
        session.prepare_cached(sql!("insert_event_tags")),
        session.prepare_cached(sql!("insert_append_keys")),
        session.prepare_cached(sql!("insert_commit")),
        session.prepare_cached(sql!("confirm_commit")),
        session.prepare_cached(sql!("insert_checkpoint")),
        session.prepare_cached(sql!("update_checkpoint")),
    )?;

    let run_sync = match locked.runs_projections {
        true => Some(session.prepare_cached(sql!("run_sync")).await?),
        false => None,
    };
    let (first, last) = (first.0 as i64, last.0 as i64);
    let mut flush = Flush { session, sent: Vec::with_capacity(8) };
    flush.change(
        events.len(),
        &insert_events,
        vec![
            &part,
            &at,
            &columns.schema_versions,
            &columns.positions,
            &columns.versions,
            &columns.occurred_at,
            &columns.ids,
            &columns.streams,
            &columns.types,
            &columns.data,
            &columns.raw,
            &columns.metadata,
            &columns.tags,
        ],
    );
    flush.change(events.len(), &insert_ids, vec![&part, &at, &columns.ids, &columns.positions]);
    flush.change(columns.tag_names.len(), &insert_tags, vec![&part, &columns.tag_names, &columns.tag_positions]);
    flush.change(chunk_streams.len(), &insert_chunks, vec![&part, &chunk_streams, &chunk_numbers, &chunk_versions]);
    flush.change(
        stream_names.len(),
        &upsert_streams,
        vec![&part, &stream_names, &stream_versions, &stream_chunks, &stream_starts],
    );
    flush.change(keys.len(), &insert_keys, vec![&part, &at, &keys, &key_positions, &key_events, &key_contents]);
    for (name, checkpoint) in &consumers {
        let statement = if stood.contains_key(*name) { &update_consumer } else { &insert_consumer };
        flush.change(1, statement, vec![name, checkpoint]);
    }
    flush.change(1, &insert_commit, vec![&part, &first, &last, &at]);
    if let Some(run_sync) = &run_sync {
        flush.change(1, run_sync, vec![&part, &first, &last]);
    }
    flush.commit(&confirm, [&part, &first], last).await
}

/// The statements of a transaction's end, all sent before an answer is waited for.
struct Flush<'a> {
    session: &'a Session,
    sent: Vec<BoxFuture<'a, Result<()>>>,
}

impl<'a> Flush<'a> {
    /// Adds a statement that must change so many rows; none where that is none.
    fn change(&mut self, rows: usize, statement: &'a Statement, params: Vec<&'a (dyn ToSql + Sync)>) {
        if rows == 0 {
            return;
        }
        let session = self.session;
        let change = async move {
            let changed = session.execute(statement, &params).await?;
            if changed == rows as u64 {
                Ok(())
            } else {
                Err(broken(format!("{changed} rows were changed and not {rows}")))
            }
        };
        self.sent.push(change.boxed());
    }

    /// Reads back the batch's row of `commits`, sends COMMIT behind it and looks at every answer, in the order in which
    /// they come: COMMIT's alone would prove nothing, for behind a statement that failed it answers as if all were well.
    async fn commit(self, confirm: &Statement, batch: [&(dyn ToSql + Sync); 2], last: i64) -> Result<()> {
        let Flush { session, sent } = self;
        let confirm = async {
            let confirmed = session.query_opt(confirm, &batch).await?.map(|row| row.get::<_, i64>(0));
            if confirmed == Some(last) {
                Ok(())
            } else {
                Err(broken("a transaction does not read what it wrote".to_owned()))
            }
        };
        let commit = async { Ok(session.batch_execute("COMMIT").await?) };
        let (changes, confirmed, committed) = tokio::join!(biased; futures::future::join_all(sent), confirm, commit);
        changes.into_iter().collect::<Result<()>>()?;
        confirmed?;
        committed
    }
}

fn broken(what: String) -> Error {
    Error::Broken(format!(
        "the store stopped taking appends: {what}, and COMMIT was on its way; look for a trigger, rule or policy on the \
         tables of the log, run `pacioli doctor`, then restart"
    ))
}
