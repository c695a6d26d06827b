//! Reads of the log, bounded on both sides, a chunk at a time.

use futures::TryStreamExt;
use pacioli_core::place::Position;
use pacioli_core::store::{
    Direction, Filter, ListStreams, PayloadChoice, ReadStream, StreamInfo, StreamPage, StreamsPage,
};
use pacioli_core::subscription::{Scan, Scanned};
use pacioli_core::{Limits, Partition, Place, RecordedEvent, StreamName, Version};
use postgres_types::ToSql;
use std::sync::Arc;

use crate::connect::Session;
use crate::error::{Error, Result, stream_not_found};
use crate::row;
use crate::shared::Shared;

/// Positions that one scan looks at, at most: then it says how far it got, found or not.
const LOOKED_AT_MAX: u64 = 1 << 20;
/// Positions of the first window of a scan with a filter.
const FIRST_WINDOW: u64 = 8_192;
/// Chunks of a stream that are looked up at once.
const CHUNKS_AT_ONCE: i64 = 64;

type Params<'a> = [&'a (dyn ToSql + Sync)];

/// What an event counts for in a page beyond its data: never less than what `scan_log` and its like count, so that a page
/// that was cut there is known to be full here.
const ENVELOPE_BYTES: usize = 264;

fn counted(event: &RecordedEvent) -> usize {
    event.data.len() + ENVELOPE_BYTES
}

/// Runs a statement whose rows are events. Sizes in the database are those of compressed data, so it is counted again here.
async fn events(
    session: &Session,
    sql: &str,
    params: &Params<'_>,
    partition: Partition,
    bytes_max: usize,
) -> Result<Vec<Arc<RecordedEvent>>> {
    let statement = session.prepare_cached(sql).await?;
    let rows = session.query_raw(&statement, params.iter().copied()).await?;
    let mut rows = std::pin::pin!(rows);
    let (mut events, mut bytes) = (Vec::new(), 0);
    while bytes < bytes_max
        && let Some(row) = rows.try_next().await?
    {
        let event = row::event(&row, partition)?;
        bytes += counted(&event);
        events.push(Arc::new(event));
    }
    Ok(events)
}

/// Reads a scan, window by window and never over the end of a chunk, until a page is full or enough was looked at.
///
/// A window bounds what one statement can come to cost, whatever plan it gets: until a chunk was analyzed, PostgreSQL
/// guesses how many events there are. Without a filter a window holds just the page; with one it grows while little matches.
pub(crate) async fn scan(shared: &Shared, session: &Session, scan: &Scan) -> Result<Scanned> {
    let mut scanned = Scanned { events: Vec::new(), up_to: scan.after };
    if shared.recent.epoch() != scan.epoch {
        return Ok(scanned);
    }
    let limit = scan.limit.clamp(1, shared.limits.page_events_max);
    let mut bytes_left = shared.limits.page_bytes_max;
    let mut window = FIRST_WINDOW;
    while scanned.up_to < scan.up_to
        && scanned.events.len() < limit
        && bytes_left > 0
        && scanned.up_to.0 - scan.after.0 < LOOKED_AT_MAX
    {
        let after = scanned.up_to;
        let room = limit - scanned.events.len();
        let in_window = if scan.filter.is_empty() { room as u64 } else { window };
        let end = shared.chunk_end(shared.chunk_of(after.next()));
        let up_to = scan.up_to.min(end).min(after.plus(in_window));
        let page = scan_window(session, scan, (after, up_to), room, bytes_left).await?;
        let bytes: usize = page.events.iter().map(|event| counted(event)).sum();
        bytes_left = bytes_left.saturating_sub(bytes);
        scanned.up_to = page.up_to;
        scanned.events.extend(page.events);
        window = window.saturating_mul(4);
    }
    Ok(scanned)
}

/// Reads what a window of one chunk holds of a scan.
async fn scan_window(
    session: &Session,
    scan: &Scan,
    (after, up_to): (Position, Position),
    limit: usize,
    bytes_max: usize,
) -> Result<Scanned> {
    let Scan { partition, filter, payload, .. } = scan;
    let Filter { categories, stream_prefix, types, tags } = &**filter;
    let types: Vec<&str> = types.iter().map(|name| name.as_str()).collect();
    let categories: Vec<&str> = categories.iter().map(|name| name.as_str()).collect();
    let tags: Vec<&str> = tags.iter().map(|tag| tag.as_str()).collect();
    let found = events(
        session,
        sql!("scan_log"),
        &[
            &i32::from(partition.0),
            &(after.0 as i64),
            &(up_to.0 as i64),
            &(limit as i64),
            &(bytes_max as i64),
            &(*payload == PayloadChoice::All),
            &(!types.is_empty()).then_some(types),
            &(!categories.is_empty()).then_some(categories),
            stream_prefix,
            &(!tags.is_empty()).then_some(tags),
        ],
        *partition,
        bytes_max,
    )
    .await?;
    // A page that is full may have left out what comes right behind it; one that is not has seen everything.
    let is_full = found.len() >= limit || found.iter().map(|event| counted(event)).sum::<usize>() >= bytes_max;
    let seen = match found.last() {
        Some(last) if is_full => last.position,
        _ => up_to,
    };
    if filter.is_empty() {
        check_gapless(&found, *partition, after, seen)?;
    }
    Ok(Scanned { events: found, up_to: seen })
}

/// Positions have no gap: a row that is missing was taken away.
fn check_gapless(events: &[Arc<RecordedEvent>], partition: Partition, after: Position, up_to: Position) -> Result<()> {
    let mut expected = after.next();
    for event in events {
        if event.position != expected {
            break;
        }
        expected = expected.next();
    }
    if expected <= up_to {
        let place = Place { partition, position: expected };
        return Err(Error::Damaged { place, problem: "it is not there, though the head lies behind it".to_owned() });
    }
    Ok(())
}

/// Where a stream stands; `None` where there is none.
pub(crate) async fn stream_version(
    session: &Session,
    stream: &StreamName,
    partition: Partition,
) -> Result<Option<Version>> {
    let statement = session.prepare_cached(sql!("read_stream_head")).await?;
    let row = session.query_opt(&statement, &[&i32::from(partition.0), &stream.as_str()]).await?;
    Ok(row.map(|row| Version(row.get::<_, i64>(0) as u64)))
}

/// Reads a page of one stream.
pub(crate) async fn stream(
    session: &Session,
    read: ReadStream,
    limits: &Limits,
    partitions: u16,
    chunk_events: u64,
) -> Result<StreamPage> {
    let partition = read.stream.partition(partitions);
    let part = i32::from(partition.0);
    let Some(version) = stream_version(session, &read.stream, partition).await? else {
        return Err(stream_not_found(read.stream));
    };
    let limit = read.limit.clamp(1, limits.page_events_max);
    let is_forward = read.direction == Direction::Forward;
    let (chunks_sql, events_sql) = if is_forward {
        (sql!("list_stream_chunks_forward"), sql!("scan_stream_forward"))
    } else {
        (sql!("list_stream_chunks_backward"), sql!("scan_stream_backward"))
    };
    // Versions are stored as bigint; a `from` beyond them is beyond every stream.
    let beyond = |from: Version| i64::try_from(from.0).unwrap_or(i64::MAX);
    let mut next = match read.from {
        Some(from) if is_forward => Some(beyond(from)),
        Some(from) => Some(beyond(from.min(version))),
        None if is_forward => Some(0),
        None => Some(version.0 as i64),
    };
    next = next.filter(|from| *from <= version.0 as i64);
    let (mut page, mut bytes): (Vec<Arc<RecordedEvent>>, usize) = (Vec::new(), 0);
    let list_chunks = session.prepare_cached(chunks_sql).await?;
    'page: while let Some(from) = next {
        let chunks = session.query(&list_chunks, &[&part, &read.stream.as_str(), &from, &CHUNKS_AT_ONCE]).await?;
        let before = next;
        for chunk in chunks {
            let Some(from) = next else { break 'page };
            let low = i64::from(chunk.get::<_, i32>(0)) * chunk_events as i64;
            let found = events(
                session,
                events_sql,
                &[
                    &part,
                    &from,
                    &read.stream.as_str(),
                    &((limit - page.len()) as i64),
                    &((limits.page_bytes_max - bytes) as i64),
                    &(read.payload == PayloadChoice::All),
                    &low,
                    &(low + chunk_events as i64),
                ],
                partition,
                limits.page_bytes_max - bytes,
            )
            .await?;
            for event in found {
                if event.version.0 > version.0 {
                    // Appended since the stream's version was read; the page is of that moment.
                    next = None;
                    break 'page;
                }
                let expected = Version(next.unwrap_or(from) as u64);
                if event.version != expected {
                    let problem =
                        format!("version {expected} of `{}` is not there, though later ones are", read.stream);
                    return Err(Error::Damaged { place: event.place(), problem });
                }
                next = following(event.version, version, is_forward);
                bytes += counted(&event);
                page.push(event);
            }
            if page.len() >= limit || bytes >= limits.page_bytes_max {
                break 'page;
            }
        }
        if next == before {
            let problem = format!(
                "version {from} of stream `{}` is in none of its chunks; restore it from a backup",
                read.stream
            );
            return Err(Error::Store(problem));
        }
    }
    Ok(StreamPage { events: page, next: next.map(|next| Version(next as u64)), version })
}

fn following(version: Version, last: Version, is_forward: bool) -> Option<i64> {
    if is_forward {
        (version < last).then(|| version.0 as i64 + 1)
    } else {
        (version > Version::FIRST).then(|| version.0 as i64 - 1)
    }
}

/// Bits of a position in the cursor of a list of streams.
const POSITION_BITS: u32 = 48;

/// Lists streams in the order in which they began.
pub(crate) async fn list_streams(session: &Session, list: &ListStreams, limits: &Limits) -> Result<StreamsPage> {
    let limit = list.limit.clamp(1, limits.page_events_max);
    let after = list.after.unwrap_or(0);
    let part = i32::try_from(after >> POSITION_BITS).unwrap_or(i32::MAX);
    let position = (after & Position::MAX.0) as i64;
    let categories = list.category.as_ref().map(|category| vec![category.as_str().to_owned()]);
    let statement = session.prepare_cached(sql!("list_streams")).await?;
    let mut rows =
        session.query(&statement, &[&part, &position, &categories, &list.prefix, &(limit as i64 + 1)]).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows
        .last()
        .filter(|_| more)
        .map(|row| (row.get::<_, i32>(0) as u64) << POSITION_BITS | row.get::<_, i64>(1) as u64);
    let streams = rows.iter().map(|row| StreamInfo {
        stream: StreamName::from_storage(row.get::<_, &str>(2)),
        version: Version(row.get::<_, i64>(3) as u64),
        partition: Partition(row.get::<_, i32>(0) as u16),
    });
    Ok(StreamsPage { streams: streams.collect(), next })
}
