//! Fetches what the log holds that bears on a batch of appends, for `decide`: the first flush of a batch's transaction.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::try_join;
use pacioli_core::decide::{Facts, KnownKey, checkpoint_at};
use pacioli_core::place::{Checkpoint, Epoch, Place, Position};
use pacioli_core::schemas::Generation;
use pacioli_core::{
    Append, Appended, Condition, EventId, InvalidAppend, NewEvent, Partition, Payload, QueryItem, RecordedEvent,
    StreamAppended, StreamName, Timestamp, Version,
};
use postgres_types::ToSql;
use uuid::Uuid;

use crate::connect::Session;
use crate::error::{Error, Result};
use crate::row::{self, Moment};

/// Events a condition may look at: it is checked while the partition's lock is held, and everybody waits.
const LOOKED_AT_MAX: i64 = 65_536;
/// A client's clock may be off by this much; a UUIDv7 is looked up from so long before its own time on.
const CLOCK_SLACK_MICROS: i64 = 24 * 3_600 * 1_000_000;
/// An id that is older than this is taken at its word.
const AHEAD_MICROS: i64 = 5_000_000;
/// Before every id: the first moment of the year 0.
const EARLIEST: Timestamp = Timestamp::from_micros(-62_167_219_200_000_000);

/// Where a partition stood when its lock was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Locked {
    pub(crate) epoch: Epoch,
    pub(crate) head: Position,
    /// The time its next events get: the database's, never before the last batch's.
    pub(crate) now: Timestamp,
    /// Whether `sync` projections run in appends: read behind the lock, without which that does not change.
    pub(crate) runs_projections: bool,
    /// How often the registry of schemas was changed: behind the lock, that does not change either.
    pub(crate) generation: Generation,
}

/// What was found, beside the facts: the last chunk of each stream that exists.
pub(crate) struct Found {
    pub(crate) locked: Locked,
    pub(crate) facts: Facts,
    pub(crate) last_chunks: HashMap<StreamName, i32>,
}

/// The names and ids a batch asks about.
struct Asked<'a> {
    partition: Partition,
    streams: Vec<&'a str>,
    ids: Vec<Uuid>,
    keys: Vec<Uuid>,
    conditions: Vec<&'a Condition>,
    consumers: Vec<&'a str>,
}

impl<'a> Asked<'a> {
    fn of(partition: Partition, appends: &'a [Append]) -> Asked<'a> {
        let events: usize = appends.iter().map(Append::events).sum();
        let mut streams = Vec::with_capacity(appends.len());
        let mut ids = Vec::with_capacity(events);
        let (mut keys, mut conditions, mut consumers) = (Vec::new(), Vec::new(), Vec::new());
        for append in appends {
            for write in append.writes() {
                streams.push(write.stream.as_str());
                ids.extend(write.events.iter().map(|event| event.id.0));
            }
            keys.extend(append.key());
            conditions.extend(append.condition());
            consumers.extend(append.tracking().map(|tracking| tracking.name.as_str()));
        }
        // In the order of the indexes, neighbours are found on pages that are at hand.
        streams.sort_unstable();
        streams.dedup();
        ids.sort_unstable();
        ids.dedup();
        let mut seen = HashSet::new();
        conditions.retain(|condition| seen.insert(*condition));
        Asked { partition, streams, ids, keys, conditions, consumers }
    }
}

/// From when on an id or key can have been recorded: a UUIDv7 tells its own time, any other may be of any.
fn recorded_from(ids: &[Uuid], now: Timestamp) -> Moment {
    let mut earliest = now;
    for id in ids {
        let its_own = Timestamp::from_micros(((id.as_u128() >> 80) as i64).saturating_mul(1_000));
        // A time that is still to come is of a clock that tells nothing.
        if id.get_version_num() != 7 || its_own.as_micros() > now.as_micros() + AHEAD_MICROS {
            return Moment(EARLIEST);
        }
        earliest = earliest.min(its_own);
    }
    Moment(Timestamp::from_micros(earliest.as_micros() - CLOCK_SLACK_MICROS))
}

/// Begins the transaction, takes the partition's lock and reads what bears on these appends, all in one flush.
pub(crate) async fn fetch(
    session: &Session,
    partition: Partition,
    appends: &[Append],
    clock: Timestamp,
    known: &Checkpoint,
) -> Result<Found> {
    let asked = Asked::of(partition, appends);
    let part = i32::from(partition.0);
    let (lock_head, last_commit, read_clock, stream_heads) = try_join4(
        session.prepare_cached(sql!("lock_head")),
        session.prepare_cached(sql!("read_last_commit")),
        session.prepare_cached(sql!("read_clock")),
        session.prepare_cached(sql!("read_stream_heads")),
    )
    .await?;
    let (find_ids, find_keys) =
        try_join(session.prepare_cached(sql!("find_event_ids")), session.prepare_cached(sql!("find_append_keys")))
            .await?;
    let lock_consumers = session.prepare_cached(sql!("lock_checkpoints")).await?;
    let (ids_from, keys_from) = (recorded_from(&asked.ids, clock), recorded_from(&asked.keys, clock));

    // Each future sends when it is first polled, in this order, before any answer is waited for. The server executes one
    // message after the other, so what stands behind the lock is read after the lock is held.
    let one: [&(dyn ToSql + Sync); 1] = [&part];
    let about_streams: [&(dyn ToSql + Sync); 2] = [&part, &asked.streams];
    let about_ids: [&(dyn ToSql + Sync); 3] = [&part, &asked.ids, &ids_from];
    let about_keys: [&(dyn ToSql + Sync); 3] = [&part, &asked.keys, &keys_from];
    let about_consumers: [&(dyn ToSql + Sync); 1] = [&asked.consumers];
    let unless = |is_empty: bool, statement, params| async move {
        if is_empty { Ok(Vec::new()) } else { session.query(statement, params).await }
    };
    let begin = session.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
    let head = session.query_one(&lock_head, &one);
    let commit = session.query_opt(&last_commit, &one);
    let around = session.query_one(&read_clock, &[]);
    let streams = session.query(&stream_heads, &about_streams);
    let ids = session.query(&find_ids, &about_ids);
    let keys = unless(asked.keys.is_empty(), &find_keys, &about_keys[..]);
    let consumers = unless(asked.consumers.is_empty(), &lock_consumers, &about_consumers[..]);
    let ((), head, commit, around, streams, ids, keys, consumers) =
        tokio::try_join!(biased; begin, head, commit, around, streams, ids, keys, consumers)?;

    let (head_pos, now) = match &commit {
        Some(row) => (row.get::<_, i64>(0), row.get::<_, Moment>(1).0),
        None => (head.get::<_, i64>(1), around.get::<_, Moment>(0).0),
    };
    let locked = Locked {
        epoch: Epoch(head.get::<_, i32>(0) as u32),
        head: Position(head_pos as u64),
        now,
        runs_projections: around.get(1),
        generation: Generation(around.get::<_, i64>(2) as u64),
    };
    let mut facts = Facts::default();
    let mut last_chunks = HashMap::with_capacity(streams.len());
    for row in &streams {
        let stream = StreamName::from_storage(row.get::<_, &str>(0));
        facts.versions.insert(stream.clone(), Version(row.get::<_, i64>(1) as u64));
        last_chunks.insert(stream, row.get(2));
    }
    for row in &consumers {
        let (name, stands): (&str, &str) = (row.get(0), row.get(1));
        let stands = stands.parse().map_err(|_| Error::Store(format!("consumer `{name}` stands at `{stands}`")))?;
        facts.tracking.insert(name.to_owned(), stands);
    }
    // Rare from here on: retries and conditions.
    if !ids.is_empty() || !keys.is_empty() || !asked.conditions.is_empty() {
        // These look into `events` itself: planned with what they ask, they lock and open the chunks in question only.
        session.batch_execute("SET LOCAL plan_cache_mode = force_custom_plan").await?;
    }
    if !ids.is_empty() {
        let positions: Vec<i64> = ids.iter().map(|row| row.get(1)).collect();
        facts.events = known_events(session, partition, appends, &positions).await?;
    }
    for row in &keys {
        let (key, first, n): (Uuid, i64, i32) = (row.get(0), row.get(1), row.get(2));
        let content: &[u8] = row.get(3);
        let content = content.try_into().map_err(|_| Error::Store(format!("the hash of key {key} has no 32 bytes")))?;
        let answer = answer_under_key(session, partition, first, n, known).await?;
        facts.keys.insert(key, KnownKey { content, answer });
    }
    // One budget for all of them. Where they need more together than one alone may, the batch is halved.
    let mut looks_left = LOOKED_AT_MAX;
    for condition in asked.conditions {
        if let Some(position) = first_match(session, asked.partition, condition, &mut looks_left).await? {
            facts.matches.insert((partition, condition.clone()), Place { partition, position });
        }
    }
    Ok(Found { locked, facts, last_chunks })
}

async fn try_join4<A, B, C, D, E>(
    a: impl Future<Output = std::result::Result<A, E>>,
    b: impl Future<Output = std::result::Result<B, E>>,
    c: impl Future<Output = std::result::Result<C, E>>,
    d: impl Future<Output = std::result::Result<D, E>>,
) -> std::result::Result<(A, B, C, D), E> {
    tokio::try_join!(a, b, c, d)
}

/// The events whose ids are known. One that differs from what was sent is kept without its data: a request of a few bytes
/// must not load a gigabyte of other events.
async fn known_events(
    session: &Session,
    partition: Partition,
    appends: &[Append],
    positions: &[i64],
) -> Result<HashMap<EventId, Arc<RecordedEvent>>> {
    let mut sent: HashMap<EventId, Vec<&NewEvent>> = HashMap::new();
    for event in appends.iter().flat_map(|append| append.writes()).flat_map(|write| &write.events) {
        sent.entry(event.id).or_default().push(event);
    }
    let statement = session.prepare_cached(sql!("read_events_at")).await?;
    let part = i32::from(partition.0);
    let rows = session.query_raw(&statement, [&part as &(dyn ToSql + Sync), &positions]).await?;
    let mut rows = std::pin::pin!(rows);
    let mut known = HashMap::with_capacity(positions.len());
    while let Some(row) = rows.try_next().await? {
        let mut event = row::event(&row, partition)?;
        let is_same = sent.get(&event.id).is_some_and(|sent| sent.iter().any(|sent| sent.is_same_as(&event)));
        if !is_same {
            // Of the other kind than what was sent, so that it differs still.
            let is_json = sent.get(&event.id).is_some_and(|sent| sent.iter().any(|sent| sent.data.is_json()));
            event.data = if is_json { Payload::Binary(Bytes::new()) } else { Payload::Json(Bytes::new()) };
        }
        known.insert(event.id, Arc::new(event));
    }
    Ok(known)
}

/// What was answered when a key was used: its events lie as one run, so the answer is read off them.
async fn answer_under_key(
    session: &Session,
    partition: Partition,
    first: i64,
    n: i32,
    known: &Checkpoint,
) -> Result<Appended> {
    let last = first + i64::from(n) - 1;
    let statement = session.prepare_cached(sql!("read_run")).await?;
    let rows = session.query(&statement, &[&i32::from(partition.0), &first, &last]).await?;
    let mut streams: Vec<StreamAppended> = Vec::new();
    for row in &rows {
        let (stream, version): (&str, i64) = (row.get(0), row.get(1));
        let version = Version(version as u64);
        match streams.last_mut() {
            Some(current) if current.stream.as_str() == stream => current.last_version = version,
            _ => streams.push(StreamAppended {
                stream: StreamName::from_storage(stream),
                first_version: version,
                last_version: version,
            }),
        }
    }
    if rows.len() != n as usize {
        return Err(Error::Store(format!(
            "a key names the events {first} to {last} of partition {partition}, which are not all there"
        )));
    }
    let last = Position(last as u64);
    Ok(Appended {
        streams,
        partition,
        first_position: Position(first as u64),
        last_position: last,
        checkpoint: checkpoint_at(partition, last, known.partitions(), known.epoch()),
        duplicate: false,
    })
}

fn too_wide() -> InvalidAppend {
    InvalidAppend::new(
        "condition",
        format!(
            "has to look at more than {LOOKED_AT_MAX} events that match it in part; give a later `after`, or a tag that \
             only the events in question have"
        ),
    )
}

/// The first event after the condition's checkpoint that matches any of its items.
async fn first_match(
    session: &Session,
    partition: Partition,
    condition: &Condition,
    looks_left: &mut i64,
) -> Result<Option<Position>> {
    let after = condition.after.as_ref().map(|after| after.position(partition)).unwrap_or_default();
    let mut first = None;
    for item in &condition.query.items {
        let found = item_match(session, partition, item, after, looks_left).await?;
        first = [first, found].into_iter().flatten().min();
    }
    Ok(first)
}

async fn item_match(
    session: &Session,
    partition: Partition,
    item: &QueryItem,
    after: Position,
    looks_left: &mut i64,
) -> Result<Option<Position>> {
    let (part, after) = (i32::from(partition.0), after.0 as i64);
    let types: Vec<&str> = item.types.iter().map(|event_type| event_type.as_str()).collect();
    let tags: Vec<&str> = item.tags.iter().map(|tag| tag.as_str()).collect();
    let found: Option<i64> = if tags.is_empty() {
        let statement = session.prepare_cached(sql!("find_typed_match")).await?;
        session.query_one(&statement, &[&part, &after, &types]).await?.get(0)
    } else {
        let statement = session.prepare_cached(sql!("find_tagged_match")).await?;
        // One more than is left, to know whether that was all.
        let row = session.query_one(&statement, &[&part, &after, &types, &tags, &(*looks_left + 1)]).await?;
        let (found, looked_at): (Option<i64>, i64) = (row.get(0), row.get(1));
        if found.is_none() && looked_at > *looks_left {
            return Err(too_wide().into());
        }
        *looks_left = (*looks_left - looked_at).max(0);
        found
    };
    Ok(found.map(|position| Position(position as u64)))
}
