//! How events are found by what they are: which posting lists lead to them, and whether a list beats reading the log.

use rusqlite::Connection;

use pacioli_core::store::Filter;
use pacioli_core::{QueryItem, StreamName};

use crate::error::Result;
use crate::index::{Direction, IndexKind, IndexView};
use crate::streams::NameHash;

/// Following a list reads rows here and there, reading the log reads them in order: a list has to be this much shorter.
const LIST_WORTH_FACTOR: u64 = 4;

/// Posting lists whose union holds every event that can match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lists {
    lists: Vec<(IndexKind, u64)>,
}

/// How to look for matching events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Follow these lists.
    Follow(Lists),
    /// Read the log in order.
    ReadAll,
}

/// Plans a filtered read of the rowids in `low..=high`.
pub(crate) fn for_filter(view: &IndexView, names: &NameHash, filter: &Filter, low: i64, high: i64) -> Plan {
    let mut alternatives =
        tags_and_types(names, filter.tags.iter().map(|t| t.as_str()), filter.types.iter().map(|t| t.as_str()));
    let categories = categories(filter.categories.iter().map(|c| c.as_str()), filter.stream_prefix.as_deref());
    alternatives.extend(lists(names, IndexKind::Category, categories.into_iter()));
    choose(view, alternatives, low, high, true)
}

/// Plans the search for the first match of an item of a condition. It never reads the whole log: an item names something.
pub(crate) fn for_item(view: &IndexView, names: &NameHash, item: &QueryItem, low: i64, high: i64) -> Plan {
    let alternatives =
        tags_and_types(names, item.tags.iter().map(|t| t.as_str()), item.types.iter().map(|t| t.as_str()));
    choose(view, alternatives, low, high, false)
}

/// The categories a read is confined to, by name or by a prefix that reaches past the first `-`.
pub(crate) fn categories<'a>(named: impl Iterator<Item = &'a str>, prefix: Option<&'a str>) -> Vec<&'a str> {
    let named: Vec<&str> = named.collect();
    if named.is_empty() {
        prefix.and_then(|prefix| prefix.split_once('-')).map(|(c, _)| c).into_iter().collect()
    } else {
        named
    }
}

fn tags_and_types<'a>(
    names: &NameHash,
    tags: impl Iterator<Item = &'a str>,
    types: impl Iterator<Item = &'a str>,
) -> Vec<Lists> {
    // All of the tags must be there: each alone is a way. Any of the types may be: only together they are one.
    let mut alternatives: Vec<Lists> =
        tags.filter_map(|tag| lists(names, IndexKind::Tag, std::iter::once(tag))).collect();
    alternatives.extend(lists(names, IndexKind::Type, types));
    alternatives
}

fn lists<'a>(names: &NameHash, kind: IndexKind, texts: impl Iterator<Item = &'a str>) -> Option<Lists> {
    let lists: Vec<(IndexKind, u64)> = texts.map(|text| (kind, names.posting(kind, text))).collect();
    (!lists.is_empty()).then_some(Lists { lists })
}

fn choose(view: &IndexView, alternatives: Vec<Lists>, low: i64, high: i64, may_read_all: bool) -> Plan {
    let estimate = |lists: &Lists| -> u64 {
        lists.lists.iter().map(|&(kind, hash)| view.estimate(kind, posting(hash, low), posting(hash, high))).sum()
    };
    let range = u64::try_from(high - low + 1).unwrap_or(0);
    match alternatives.into_iter().map(|lists| (estimate(&lists), lists)).min_by_key(|(estimate, _)| *estimate) {
        Some((estimate, lists)) if !may_read_all || estimate.saturating_mul(LIST_WORTH_FACTOR) < range => {
            Plan::Follow(lists)
        }
        _ => Plan::ReadAll,
    }
}

/// The key of a posting.
pub(crate) fn posting(hash: u64, rowid: i64) -> u128 {
    u128::from(hash) << 64 | u128::from(rowid as u64)
}

/// The key of a stream in the list of its category.
pub(crate) fn category_of(names: &NameHash, stream: &StreamName) -> u64 {
    names.posting(IndexKind::Category, stream.category())
}

impl Lists {
    /// The next rowids in `low..=high` in ascending order, about `limit` of them, and up to where they are complete.
    pub(crate) fn next(
        &self,
        conn: &Connection,
        view: &IndexView,
        low: i64,
        high: i64,
        limit: usize,
    ) -> Result<(Vec<i64>, i64)> {
        let mut complete_up_to = high;
        let mut rowids = Vec::new();
        for &(kind, hash) in &self.lists {
            let found = view.scan(conn, kind, posting(hash, low), posting(hash, high), limit, Direction::Forward)?;
            if found.len() == limit
                && let Some((last, _)) = found.last()
            {
                complete_up_to = complete_up_to.min(*last as u64 as i64);
            }
            rowids.extend(found.into_iter().map(|(key, _)| key as u64 as i64));
        }
        rowids.retain(|rowid| *rowid <= complete_up_to);
        rowids.sort_unstable();
        rowids.dedup();
        Ok((rowids, complete_up_to))
    }
}
