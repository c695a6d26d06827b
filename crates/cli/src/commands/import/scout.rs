//! Looks ahead of an import: which of the streams that are to get several events at once are not there yet.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use pacioli_core::store::{Direction, ReadStream};
use pacioli_core::{EventStore, PayloadChoice, ReadError, StreamName};
use tokio::sync::mpsc;

use crate::ndjson::{Line, Parsed};

/// Looks on their way at once.
const LOOKS: usize = 32;
/// How long a group of lines waits for its looks. Without them an import is slower, and no less right.
const PATIENCE: Duration = Duration::from_secs(2);
/// Streams that are remembered, so that each is looked at once.
const SEEN_MAX: usize = 65_536;
const GROUPS_AHEAD: usize = 2;

/// Lines that travel together.
pub(super) struct Group {
    pub(super) lines: Vec<Line>,
    /// Streams that were not there when these lines were read.
    pub(super) absent: Vec<StreamName>,
}

/// Hands lines on, with what was seen.
pub(super) fn ahead(store: Arc<dyn EventStore>, mut lines: mpsc::Receiver<Vec<Line>>) -> mpsc::Receiver<Group> {
    let (sender, groups) = mpsc::channel(GROUPS_AHEAD);
    tokio::spawn(async move {
        let mut seen = HashSet::new();
        while let Some(lines) = lines.recv().await {
            let look = look(&*store, new_and_repeated(&lines, &mut seen));
            let absent = tokio::time::timeout(PATIENCE, look).await.unwrap_or_default();
            if sender.send(Group { lines, absent }).await.is_err() {
                return;
            }
        }
    });
    groups
}

/// The streams of more than one line that were not seen before.
fn new_and_repeated(lines: &[Line], seen: &mut HashSet<StreamName>) -> Vec<StreamName> {
    let mut counts: HashMap<&StreamName, usize> = HashMap::new();
    for line in lines {
        if let Parsed::Event(stream, _) = &line.parsed {
            *counts.entry(stream).or_default() += 1;
        }
    }
    if seen.len() >= SEEN_MAX {
        seen.clear();
    }
    let mut found = Vec::new();
    for (stream, count) in counts {
        if seen.insert(stream.clone()) && count > 1 {
            found.push(stream.clone());
        }
    }
    found
}

/// Those of some streams that are not there. One that cannot be looked at counts as there.
async fn look(store: &dyn EventStore, streams: Vec<StreamName>) -> Vec<StreamName> {
    let looks = streams.into_iter().map(async |stream| {
        let read = ReadStream {
            stream: stream.clone(),
            from: None,
            direction: Direction::Backward,
            limit: 1,
            payload: PayloadChoice::None,
        };
        let is_absent = matches!(store.read_stream(read).await, Err(ReadError::StreamNotFound { .. }));
        is_absent.then_some(stream)
    });
    futures::stream::iter(looks).buffer_unordered(LOOKS).filter_map(async |absent| absent).collect().await
}
