//! Fetches what the log holds that bears on a batch of appends, for `decide`.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, params};

use pacioli_core::decide::checkpoint_at;
use pacioli_core::decide::{Facts, KnownKey};
use pacioli_core::place::{Checkpoint, Place};
use pacioli_core::store::PayloadChoice;
use pacioli_core::{
    Append, Appended, Condition, InvalidAppend, NewEvent, Partition, Payload, RecordedEvent, StreamAppended, StreamName,
};

use crate::error::{Error, Result, place, rowid};
use crate::index::{IndexKind, IndexView};
use crate::plan::{self, Plan};
use crate::read;
use crate::row::Types;
use crate::streams::{self, HeadCache, NameHash, StreamHead};

/// Postings of a condition collected at once.
const POSTINGS_AT_ONCE: usize = 256;

/// Events a condition may look at: it is checked on the one thread that writes, and everybody waits.
const LOOKED_AT_MAX: usize = 65_536;

fn too_wide() -> InvalidAppend {
    InvalidAppend::new(
        "condition",
        format!(
            "has to look at more than {LOOKED_AT_MAX} events that match it in part; give a later `after`, or a tag that \
             only the events in question have"
        ),
    )
}

/// Where facts are fetched from: the writer's own connection, between its transactions.
pub(crate) struct Fetch<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) view: &'a IndexView,
    pub(crate) cache: &'a mut HeadCache,
    pub(crate) names: NameHash,
    pub(crate) types: &'a Types,
    pub(crate) heads: &'a Checkpoint,
    pub(crate) damaged: &'a HashSet<u128>,
    pub(crate) buffer: &'a mut Vec<u8>,
}

/// The streams a batch touches: the hash of each name, and the head of each that exists.
pub(crate) type Touched = HashMap<StreamName, (u128, Option<StreamHead>)>;

impl Fetch<'_> {
    /// Fetches the facts for all appends of a batch.
    pub(crate) fn facts<'a>(&mut self, appends: impl Iterator<Item = &'a Append>) -> Result<(Facts, Touched)> {
        let mut facts = Facts::default();
        let mut touched = Touched::new();
        for append in appends {
            for write in append.writes() {
                if let Entry::Vacant(vacant) = touched.entry(write.stream.clone()) {
                    let head = self.head(&write.stream)?;
                    if let Some(head) = head.1 {
                        facts.versions.insert(write.stream.clone(), head.version);
                    }
                    vacant.insert(head);
                }
                for event in &write.events {
                    if let Some(rowid) = self.view.get(self.conn, IndexKind::Id, event.id.0.as_u128())? {
                        self.remember_known(&mut facts, event, rowid as i64)?;
                    }
                }
            }
            if let Some(key) = append.key()
                && let Some(rowid) = self.view.get(self.conn, IndexKind::AppendKey, key.as_u128())?
            {
                facts.keys.insert(key, self.known_key(rowid as i64)?);
            }
            if let Some(condition) = append.condition()
                && let Some(first) = self.first_match(append.partition(), condition)?
            {
                facts.matches.insert((append.partition(), condition.clone()), first);
            }
            if let Some(tracking) = append.tracking()
                && let Some(stands) = read::tracking(self.conn, &tracking.name)?
            {
                let stands = stands
                    .parse()
                    .map_err(|_| Error::Store(format!("consumer `{}` stands at `{stands}`", tracking.name)))?;
                facts.tracking.insert(tracking.name.clone(), stands);
            }
        }
        Ok((facts, touched))
    }

    fn head(&mut self, stream: &StreamName) -> Result<(u128, Option<StreamHead>)> {
        let name = self.names.of(stream);
        if self.damaged.contains(&name) {
            return Err(Error::Store(format!(
                "stream `{stream}` has a damaged event, so its next version is not known; restore the store from a backup"
            )));
        }
        if let Some(head) = self.cache.get(name) {
            return Ok((name, Some(head)));
        }
        let head = streams::find(self.conn, self.view, name)?;
        if let Some(head) = head {
            self.cache.put(name, head);
        }
        Ok((name, head))
    }

    /// Keeps a known event for the comparison. One that differs is kept without its data: a request of a few bytes must
    /// not load a gigabyte of other events.
    fn remember_known(&mut self, facts: &mut Facts, sent: &NewEvent, rowid: i64) -> Result<()> {
        let known = self.event(rowid)?;
        if sent.is_same_as(&known) {
            facts.events.insert(sent.id, known);
        } else if let Entry::Vacant(vacant) = facts.events.entry(sent.id) {
            // Of the other kind than what was sent, so that it differs still.
            let data = if sent.data.is_json() { Payload::Binary(Bytes::new()) } else { Payload::Json(Bytes::new()) };
            vacant.insert(Arc::new(RecordedEvent { data, ..(*known).clone() }));
        }
        Ok(())
    }

    fn event(&mut self, rowid: i64) -> Result<Arc<RecordedEvent>> {
        read::event(self.conn, self.types, rowid, PayloadChoice::All, self.buffer)
    }

    /// What was stored under a key: its events lie as one run, so the answer is read off them.
    fn known_key(&mut self, first: i64) -> Result<KnownKey> {
        let (last, content): (i64, [u8; 32]) = self
            .conn
            .prepare_cached(sql!("read_append_key"))?
            .query_row(params![first], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut streams: Vec<StreamAppended> = Vec::new();
        for rowid in first..=last {
            let event = self.event(rowid)?;
            match streams.last_mut() {
                Some(current) if current.stream == event.stream => current.last_version = event.version,
                _ => streams.push(StreamAppended {
                    stream: event.stream.clone(),
                    first_version: event.version,
                    last_version: event.version,
                }),
            }
        }
        let (first, last) = (place(first), place(last));
        let answer = Appended {
            streams,
            partition: first.partition,
            first_position: first.position,
            last_position: last.position,
            checkpoint: checkpoint_at(last.partition, last.position, self.heads.partitions(), self.heads.epoch()),
            duplicate: false,
        };
        Ok(KnownKey { content, answer })
    }

    /// The first event after the condition's checkpoint that matches any of its items.
    fn first_match(&mut self, partition: Partition, condition: &Condition) -> Result<Option<Place>> {
        let after = condition.after.as_ref().map(|after| after.position(partition)).unwrap_or_default();
        let low = rowid(Place { partition, position: after }) + 1;
        let mut high = rowid(Place { partition, position: self.heads.position(partition) });
        let mut first = None;
        let mut looked_at = 0;
        for item in &condition.query.items {
            let Plan::Follow(lists) = plan::for_item(self.view, &self.names, item, low, high) else {
                return Err(Error::Store("an item of a condition names no type and no tag".to_owned()));
            };
            let mut from = low;
            'lists: while from <= high {
                let (rowids, complete_up_to) = lists.next(self.conn, self.view, from, high, POSTINGS_AT_ONCE)?;
                looked_at += rowids.len();
                if looked_at > LOOKED_AT_MAX {
                    return Err(Error::Invalid(too_wide()));
                }
                for rowid in rowids {
                    if read::matches(self.conn, self.types, rowid, item)? {
                        // Another item matters only if it matches earlier.
                        first = Some(place(rowid));
                        high = rowid - 1;
                        break 'lists;
                    }
                }
                from = complete_up_to + 1;
            }
        }
        Ok(first)
    }
}
