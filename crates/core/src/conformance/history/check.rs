//! Compares what the clients saw with what the log holds. It trusts nothing the server says but the log itself.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::{Operation, Outcome};
use crate::event::RecordedEvent;
use crate::store::{EventStore, PayloadChoice, ReadError, ReadLog};

/// An event as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Its position.
    pub position: u64,
    /// Its stream.
    pub stream: String,
    /// Its version there.
    pub version: u64,
    /// Its id.
    pub id: Uuid,
    /// Its data as text.
    pub data: String,
    /// When, in microseconds.
    pub recorded_at: i64,
}

impl From<&RecordedEvent> for LoggedEvent {
    fn from(event: &RecordedEvent) -> LoggedEvent {
        LoggedEvent {
            position: event.position.0,
            stream: event.stream.to_string(),
            version: event.version.0,
            id: event.id.0,
            data: String::from_utf8_lossy(event.data.bytes()).into_owned(),
            recorded_at: event.recorded_at.as_micros(),
        }
    }
}

/// What a clean check counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations that were acknowledged.
    pub acknowledged: usize,
    /// Operations of which it is certain that they are not stored.
    pub refused: usize,
    /// Operations without an answer that are stored.
    pub unknown_stored: usize,
    /// Operations without an answer that are not.
    pub unknown_absent: usize,
    /// Operations that were sent more than once.
    pub retried: usize,
    /// Events of the log.
    pub events: usize,
}

/// Checks a history against the log of one partition and against what a follower was delivered (positions and ids).
///
/// # Errors
/// The first promise that was broken.
pub fn check(
    operations: &BTreeMap<u64, Operation>,
    log: &[LoggedEvent],
    followed: &[(u64, Uuid)],
) -> Result<Counts, String> {
    check_numbers(log)?;
    let by_id = index(log)?;
    let mut counts = Counts { events: log.len(), ..Counts::default() };
    let mut sent = HashSet::new();
    for (op, operation) in operations {
        counts.retried += usize::from(operation.tries > 1);
        sent.extend(operation.events.iter().map(|event| event.id));
        check_operation(*op, operation, &by_id, &mut counts)?;
    }
    if let Some(stranger) = log.iter().find(|event| !sent.contains(&event.id)) {
        return Err(format!("nobody sent the event at {}", stranger.position));
    }
    check_real_time(operations)?;
    let delivered_as_logged = followed.len() == log.len()
        && followed.iter().zip(log).all(|(delivered, event)| *delivered == (event.position, event.id));
    if !delivered_as_logged {
        let at = followed.iter().zip(log).position(|(delivered, event)| *delivered != (event.position, event.id));
        return Err(format!("the follower saw {} of {} events, first difference {at:?}", followed.len(), log.len()));
    }
    Ok(counts)
}

/// The whole log of a store with one partition.
///
/// # Errors
/// The store's.
pub async fn read_whole_log(store: &dyn EventStore) -> Result<Vec<LoggedEvent>, ReadError> {
    let (mut after, mut log) = (None, Vec::new());
    loop {
        let read = ReadLog { after, filter: Default::default(), limit: 1_000, payload: PayloadChoice::All };
        let page = store.read_log(read).await?;
        log.extend(page.events.iter().map(|event| LoggedEvent::from(&**event)));
        if page.at_head() {
            return Ok(log);
        }
        after = Some(page.checkpoint);
    }
}

/// Positions run 1..n, versions of each stream 0..n in position order, time never backwards.
fn check_numbers(log: &[LoggedEvent]) -> Result<(), String> {
    let mut versions: HashMap<&str, u64> = HashMap::new();
    for (index, event) in log.iter().enumerate() {
        if event.position != index as u64 + 1 {
            return Err(format!("position {} where {} is due", event.position, index + 1));
        }
        let due = versions.entry(&event.stream).or_insert(0);
        if event.version != *due {
            return Err(format!("version {} of {} where {due} is due", event.version, event.stream));
        }
        *due += 1;
        if index > 0 && event.recorded_at < log[index - 1].recorded_at {
            return Err(format!("time runs backwards at {}", event.position));
        }
    }
    Ok(())
}

fn index(log: &[LoggedEvent]) -> Result<HashMap<Uuid, &LoggedEvent>, String> {
    let mut by_id = HashMap::new();
    for event in log {
        if by_id.insert(event.id, event).is_some() {
            return Err(format!("event {} is stored twice", event.id));
        }
    }
    Ok(by_id)
}

fn check_operation(
    op: u64,
    operation: &Operation,
    by_id: &HashMap<Uuid, &LoggedEvent>,
    counts: &mut Counts,
) -> Result<(), String> {
    let stored: Vec<&LoggedEvent> = operation.events.iter().filter_map(|event| by_id.get(&event.id).copied()).collect();
    if !stored.is_empty() && stored.len() < operation.events.len() {
        return Err(format!("operation {op} is stored in part: {} of {}", stored.len(), operation.events.len()));
    }
    for (sent, stored) in operation.events.iter().zip(&stored) {
        if sent.data != stored.data || sent.stream != stored.stream {
            return Err(format!("event {} of operation {op} is not as it was sent", sent.id));
        }
    }
    if !stored.windows(2).all(|pair| pair[1].position == pair[0].position + 1) {
        return Err(format!("the events of operation {op} do not lie together"));
    }
    match &operation.outcome {
        Outcome::Acknowledged { first_position, last_position, first_versions, .. } => {
            let (Some(first), Some(last)) = (stored.first(), stored.last()) else {
                return Err(format!("operation {op} was acknowledged and is lost"));
            };
            if (first.position, last.position) != (*first_position, *last_position) {
                return Err(format!("operation {op} was told {first_position}-{last_position} and lies elsewhere"));
            }
            for (stream, version) in first_versions {
                let first = stored.iter().find(|event| event.stream == *stream);
                if first.is_none_or(|event| event.version != *version) {
                    return Err(format!("operation {op} was told version {version} of {stream}, which is wrong"));
                }
            }
            counts.acknowledged += 1;
        }
        Outcome::Refused if !stored.is_empty() => return Err(format!("operation {op} was refused and is stored")),
        Outcome::Refused => counts.refused += 1,
        Outcome::Unknown if stored.is_empty() => counts.unknown_absent += 1,
        Outcome::Unknown => counts.unknown_stored += 1,
    }
    Ok(())
}

/// An append acknowledged before another was sent lies before it.
fn check_real_time(operations: &BTreeMap<u64, Operation>) -> Result<(), String> {
    let mut placed: Vec<(u64, u64, u64, u64)> = Vec::new();
    for (op, operation) in operations {
        if let Outcome::Acknowledged { at, first_position, duplicate: false, .. } = &operation.outcome
            && operation.tries == 1
        {
            placed.push((*first_position, operation.invoked_at, *at, *op));
        }
    }
    placed.sort_unstable();
    let mut latest_invoke = 0;
    for (position, invoked_at, acknowledged_at, op) in placed {
        if acknowledged_at < latest_invoke {
            return Err(format!(
                "operation {op} at {position} was acknowledged before one that lies before it was sent"
            ));
        }
        latest_invoke = latest_invoke.max(invoked_at);
    }
    Ok(())
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
