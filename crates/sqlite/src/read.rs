//! Reading: a partition of the log, a stream, the streams. Runs on a blocking thread with a connection of the pool.
//!
//! A view of the indexes is taken before any transaction begins, and index entries are collected before the rows they
//! lead to are read, so that every entry leads to a row the read can see.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use pacioli_core::place::{Partition, Place, Position};
use pacioli_core::store::{Direction, ListStreams, PayloadChoice, ReadStream, StreamInfo, StreamPage, StreamsPage};
use pacioli_core::subscription::{Scan, Scanned};
use pacioli_core::{Limits, QueryItem, RecordedEvent, StreamName, Version};

use crate::error::{Error, Result, place, rowid, stream_not_found};
use crate::index::{self, IndexKind, IndexView};
use crate::plan::{self, Plan};
use crate::row::{self, Types};
use crate::streams::{self, NameHash};

/// Rows or postings one read looks at before it reports progress.
const LOOKED_AT_MAX: usize = 65_536;
/// Postings collected at once.
const POSTINGS_AT_ONCE: usize = 1_024;

/// What a read needs besides a connection.
pub(crate) struct Reader<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) view: IndexView,
    pub(crate) names: NameHash,
    pub(crate) types: &'a Types,
    pub(crate) limits: Limits,
    pub(crate) partitions: u16,
}

/// Events being collected for a page, up to its bounds.
struct Page {
    events: Vec<Arc<RecordedEvent>>,
    bytes: usize,
    limit: usize,
    bytes_max: usize,
    buffer: Vec<u8>,
}

impl Page {
    fn new(limit: usize, limits: &Limits) -> Page {
        let limit = limit.clamp(1, limits.page_events_max);
        Page { events: Vec::new(), bytes: 0, limit, bytes_max: limits.page_bytes_max, buffer: Vec::new() }
    }

    fn push(&mut self, event: Arc<RecordedEvent>) {
        self.bytes += event.size();
        self.events.push(event);
    }

    fn is_full(&self) -> bool {
        self.events.len() >= self.limit || self.bytes >= self.bytes_max
    }
}

/// Runs `read` in one transaction, so that it sees one moment and takes the lock once.
fn in_snapshot<T>(conn: &Connection, read: impl FnOnce() -> Result<T>) -> Result<T> {
    conn.prepare_cached(sql!("begin_read"))?.execute([])?;
    let answer = read();
    let ended = conn.prepare_cached(sql!("commit")).and_then(|mut statement| statement.execute([]));
    let answer = answer?;
    ended?;
    Ok(answer)
}

impl Reader<'_> {
    /// Reads a bounded piece of one partition.
    pub(crate) fn scan(&self, scan: &Scan) -> Result<Scanned> {
        let at = |position| rowid(Place { partition: scan.partition, position });
        let (after, up_to) = (at(scan.after), at(scan.up_to));
        let mut page = Page::new(scan.limit, &self.limits);
        let plan = if scan.filter.is_empty() {
            Plan::ReadAll
        } else {
            plan::for_filter(&self.view, &self.names, &scan.filter, after + 1, up_to)
        };
        let up_to = match plan {
            Plan::ReadAll => self.read_all(scan, after, up_to, &mut page)?,
            Plan::Follow(lists) => self.follow(scan, &lists, after, up_to, &mut page)?,
        };
        Ok(Scanned { events: page.events, up_to: place(up_to).position })
    }

    /// Reads rows in order; returns up to where it looked.
    fn read_all(&self, scan: &Scan, after: i64, up_to: i64, page: &mut Page) -> Result<i64> {
        let mut statement = self.conn.prepare_cached(sql!("read_events"))?;
        let mut rows = statement.query(params![after, up_to])?;
        let mut looked_at = after;
        while let Some(row) = rows.next()? {
            let envelope = row::envelope(row, self.types)?;
            if envelope.rowid != looked_at + 1 {
                return Err(missing(looked_at + 1));
            }
            looked_at = envelope.rowid;
            if scan.filter.matches_parts(&envelope.stream, &envelope.event_type, &envelope.tags) {
                let event = row::event(row, envelope, scan.payload, &mut page.buffer)?;
                page.push(event);
                if page.is_full() {
                    return Ok(looked_at);
                }
            }
            if (looked_at - after) as usize >= LOOKED_AT_MAX {
                return Ok(looked_at);
            }
        }
        // The caller asks up to a head that is committed: every row up to it is there.
        if looked_at != up_to { Err(missing(looked_at + 1)) } else { Ok(up_to) }
    }

    /// Reads the rows that posting lists lead to; returns up to where it looked.
    fn follow(&self, scan: &Scan, lists: &plan::Lists, after: i64, up_to: i64, page: &mut Page) -> Result<i64> {
        let mut low = after + 1;
        let mut looked_at = 0;
        while low <= up_to {
            let (rowids, complete_up_to) = lists.next(self.conn, &self.view, low, up_to, POSTINGS_AT_ONCE)?;
            looked_at += rowids.len();
            let full_at = in_snapshot(self.conn, || {
                for rowid in rowids {
                    self.push_if_it_matches(rowid, scan, page)?;
                    if page.is_full() {
                        return Ok(Some(rowid));
                    }
                }
                Ok(None)
            })?;
            if let Some(rowid) = full_at {
                return Ok(rowid);
            }
            if looked_at >= LOOKED_AT_MAX {
                return Ok(complete_up_to);
            }
            low = complete_up_to + 1;
        }
        Ok(up_to)
    }

    fn push_if_it_matches(&self, rowid: i64, scan: &Scan, page: &mut Page) -> Result<()> {
        let mut statement = self.conn.prepare_cached(sql!("read_event"))?;
        let mut rows = statement.query([rowid])?;
        let row = rows.next()?.ok_or_else(|| missing(rowid))?;
        let envelope = row::envelope(row, self.types)?;
        // The lists hold hashes and only one of the filter's parts: the event itself decides.
        if scan.filter.matches_parts(&envelope.stream, &envelope.event_type, &envelope.tags) {
            let event = row::event(row, envelope, scan.payload, &mut page.buffer)?;
            page.push(event);
        }
        Ok(())
    }

    /// Reads one event.
    pub(crate) fn event(&self, rowid: i64, payload: PayloadChoice, buffer: &mut Vec<u8>) -> Result<Arc<RecordedEvent>> {
        event(self.conn, self.types, rowid, payload, buffer)
    }

    /// Reads a page of a stream.
    pub(crate) fn stream(&self, read: ReadStream) -> Result<StreamPage> {
        let Some(head) = streams::find(self.conn, &self.view, self.names.of(&read.stream))? else {
            return Err(stream_not_found(read.stream));
        };
        let (first, _) = streams::versions_of(head.id as u64);
        let last = head.version.0;
        let mut page = Page::new(read.limit, &self.limits);
        let version = |n: u64| first | u128::from(n);
        let (low, high, direction) = match read.direction {
            Direction::Forward => (read.from.map_or(0, |from| from.0), last, index::Direction::Forward),
            Direction::Backward => (0, read.from.map_or(last, |from| from.0.min(last)), index::Direction::Backward),
        };
        let found = if low > high {
            Vec::new()
        } else {
            self.view.scan(self.conn, IndexKind::Stream, version(low), version(high), page.limit, direction)?
        };
        in_snapshot(self.conn, || {
            for (_, rowid) in found {
                let event = self.event(rowid as i64, read.payload, &mut page.buffer)?;
                let read_so_far = page.events.len() as u64;
                let due = match read.direction {
                    Direction::Forward => low + read_so_far,
                    Direction::Backward => high - read_so_far,
                };
                if event.stream != read.stream || event.version.0 != due {
                    let problem = format!("the index of `{}` leads to it where version {due} is due", read.stream);
                    return Err(Error::Damaged { place: event.place(), problem });
                }
                page.push(event);
                if page.is_full() {
                    break;
                }
            }
            Ok(())
        })?;
        let next = page.events.last().and_then(|event| match read.direction {
            Direction::Forward => (event.version.0 < last).then(|| event.version.plus(1)),
            Direction::Backward => event.version.0.checked_sub(1).map(Version),
        });
        Ok(StreamPage { events: page.events, next, version: head.version })
    }

    /// What is known of a stream.
    pub(crate) fn stream_info(&self, stream: &StreamName) -> Result<Option<StreamInfo>> {
        let head = streams::find(self.conn, &self.view, self.names.of(stream))?;
        Ok(head.map(|head| self.info(stream.clone(), head.version)))
    }

    fn info(&self, stream: StreamName, version: Version) -> StreamInfo {
        let partition: Partition = stream.partition(self.partitions);
        StreamInfo { stream, version, partition }
    }

    /// Lists streams in the order of their ids.
    pub(crate) fn list_streams(&self, list: &ListStreams) -> Result<StreamsPage> {
        let limit = list.limit.clamp(1, self.limits.page_events_max);
        let after = i64::try_from(list.after.unwrap_or(0)).unwrap_or(i64::MAX - 1);
        let mut page = StreamsPage { streams: Vec::new(), next: None };
        let named = list.category.iter().map(|category| category.as_str());
        match plan::categories(named, list.prefix.as_deref()).first() {
            Some(category) => self.list_category(list, category, after, limit, &mut page)?,
            None => self.list_all(list, after, limit, &mut page)?,
        }
        Ok(page)
    }

    fn list_category(
        &self,
        list: &ListStreams,
        category: &str,
        after: i64,
        limit: usize,
        page: &mut StreamsPage,
    ) -> Result<()> {
        let hash = self.names.posting(IndexKind::Category, category);
        let mut low = after + 1;
        let mut looked_at = 0;
        loop {
            let (from, to) = (plan::posting(hash, low), plan::posting(hash, i64::MAX));
            let ids = self.view.scan(
                self.conn,
                IndexKind::CategoryStreams,
                from,
                to,
                POSTINGS_AT_ONCE,
                index::Direction::Forward,
            )?;
            for (key, _) in &ids {
                let id = *key as u64 as i64;
                let name: String =
                    self.conn.prepare_cached(sql!("read_stream_name"))?.query_row([id], |row| row.get(0))?;
                if self.take_stream(list, id, name, limit, page)? {
                    return Ok(());
                }
            }
            let Some((last, _)) = ids.last().filter(|_| ids.len() == POSTINGS_AT_ONCE) else { return Ok(()) };
            low = *last as u64 as i64 + 1;
            looked_at += ids.len();
            if looked_at >= LOOKED_AT_MAX {
                page.next = Some(low as u64 - 1);
                return Ok(());
            }
        }
    }

    fn list_all(&self, list: &ListStreams, after: i64, limit: usize, page: &mut StreamsPage) -> Result<()> {
        let mut statement = self.conn.prepare_cached(sql!("list_streams_after"))?;
        let mut rows = statement.query([after])?;
        let mut looked_at = 0;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            if self.take_stream(list, id, row.get(1)?, limit, page)? {
                break;
            }
            looked_at += 1;
            if looked_at >= LOOKED_AT_MAX {
                page.next = Some(id as u64);
                break;
            }
        }
        Ok(())
    }

    /// Takes a stream into the page if it is asked for; true once the page is full and one more was found.
    fn take_stream(
        &self,
        list: &ListStreams,
        id: i64,
        name: String,
        limit: usize,
        page: &mut StreamsPage,
    ) -> Result<bool> {
        let name = StreamName::from_storage(name);
        if !list.matches(&name) {
            return Ok(false);
        }
        if page.streams.len() == limit {
            // The cursor points before the one that did not fit.
            page.next = Some(id as u64 - 1);
            return Ok(true);
        }
        let (low, high) = streams::versions_of(id as u64);
        let Some((key, _)) = self.view.last_in(self.conn, IndexKind::Stream, low, high)? else {
            // Its first events are being committed at this moment. The list ends before it: streams behind it may be
            // complete already, and a cursor that passed it would never come back.
            return Ok(true);
        };
        page.streams.push(self.info(name, Version(key as u64)));
        Ok(false)
    }
}

/// Reads one event by rowid.
pub(crate) fn event(
    conn: &Connection,
    types: &Types,
    rowid: i64,
    payload: PayloadChoice,
    buffer: &mut Vec<u8>,
) -> Result<Arc<RecordedEvent>> {
    let mut statement = conn.prepare_cached(sql!("read_event"))?;
    let mut rows = statement.query([rowid])?;
    let row = rows.next()?.ok_or_else(|| missing(rowid))?;
    row::event(row, row::envelope(row, types)?, payload, buffer)
}

/// Whether an event matches an item of a condition. Only its envelope is read.
pub(crate) fn matches(conn: &Connection, types: &Types, rowid: i64, item: &QueryItem) -> Result<bool> {
    let mut statement = conn.prepare_cached(sql!("read_event"))?;
    let mut rows = statement.query([rowid])?;
    let row = rows.next()?.ok_or_else(|| missing(rowid))?;
    let envelope = row::envelope(row, types)?;
    Ok(item.matches(&envelope.event_type, &envelope.tags))
}

/// Reads where a consumer stands.
pub(crate) fn tracking(conn: &Connection, name: &str) -> Result<Option<String>> {
    Ok(conn.prepare_cached(sql!("read_tracking"))?.query_row([name], |row| row.get(0)).optional()?)
}

/// Lists where consumers stand.
pub(crate) fn list_tracking(conn: &Connection) -> Result<Vec<(Box<str>, String)>> {
    let mut statement = conn.prepare_cached(sql!("list_tracking"))?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Reads the head of every partition, and when its last event was recorded.
pub(crate) fn heads(conn: &Connection, partitions: u16) -> Result<Vec<(Position, i64)>> {
    let mut statement = conn.prepare_cached(sql!("read_head"))?;
    let head = |partition| -> Result<(Position, i64)> {
        let at = |position| rowid(Place { partition: Partition(partition), position });
        let row =
            statement.query_row(params![at(Position::START), at(Position::MAX)], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(row.optional()?.map_or((Position::START, 0), |(last, recorded_at)| (place(last).position, recorded_at)))
    };
    (0..partitions).map(head).collect()
}

fn missing(rowid: i64) -> Error {
    Error::Damaged { place: place(rowid), problem: "there is no such row, though positions have no gap".to_owned() }
}
