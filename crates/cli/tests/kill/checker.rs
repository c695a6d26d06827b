//! Compares what the clients saw with what the log holds. It trusts nothing the server says but the log itself.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use crate::history::{Operation, Outcome};

/// An event as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoggedEvent {
    pub(crate) position: u64,
    pub(crate) stream: String,
    pub(crate) version: u64,
    pub(crate) id: Uuid,
    pub(crate) data: String,
    pub(crate) recorded_at: i64,
}

/// What a clean check counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) acknowledged: usize,
    pub(crate) refused: usize,
    pub(crate) unknown_stored: usize,
    pub(crate) unknown_absent: usize,
    pub(crate) retried: usize,
    pub(crate) events: usize,
}

/// Checks a history against the log of one partition and against what a follower was delivered (positions and ids).
pub(crate) fn check(
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
mod tests {
    use super::*;
    use crate::history::SentEvent;

    type World = (BTreeMap<u64, Operation>, Vec<LoggedEvent>, Vec<(u64, Uuid)>);

    fn sent(id: u128, stream: &str) -> SentEvent {
        SentEvent { id: Uuid::from_u128(id), stream: stream.to_owned(), data: format!("d{id}") }
    }

    /// Four operations: one event, two streams, refused, unknown but stored; and their log.
    fn world() -> World {
        let acknowledged = |at, first, last, versions: &[(&str, u64)]| Outcome::Acknowledged {
            at,
            first_position: first,
            last_position: last,
            first_versions: versions.iter().map(|(stream, version)| ((*stream).to_owned(), *version)).collect(),
            duplicate: false,
        };
        let operation = |events, invoked_at, outcome| Operation { events, invoked_at, outcome, tries: 1, doubt: false };
        let operations = BTreeMap::from([
            (1, operation(vec![sent(1, "a")], 10, acknowledged(20, 1, 1, &[("a", 0)]))),
            (2, operation(vec![sent(2, "a"), sent(3, "b")], 30, acknowledged(40, 2, 3, &[("a", 1), ("b", 0)]))),
            (3, operation(vec![sent(4, "a")], 50, Outcome::Refused)),
            (4, operation(vec![sent(5, "b"), sent(6, "b")], 60, Outcome::Unknown)),
        ]);
        let logged = |position, stream: &str, version, id: u128| LoggedEvent {
            position,
            stream: stream.to_owned(),
            version,
            id: Uuid::from_u128(id),
            data: format!("d{id}"),
            recorded_at: position as i64,
        };
        let log = vec![
            logged(1, "a", 0, 1),
            logged(2, "a", 1, 2),
            logged(3, "b", 0, 3),
            logged(4, "b", 1, 5),
            logged(5, "b", 2, 6),
        ];
        let followed = log.iter().map(|event| (event.position, event.id)).collect();
        (operations, log, followed)
    }

    fn refollow((operations, log, _): World) -> World {
        let followed = log.iter().map(|event| (event.position, event.id)).collect();
        (operations, log, followed)
    }

    fn renumber((operations, mut log, followed): World) -> World {
        let mut versions: HashMap<String, u64> = HashMap::new();
        for (index, event) in log.iter_mut().enumerate() {
            let version = versions.entry(event.stream.clone()).or_insert(0);
            (event.position, event.version, event.recorded_at) = (index as u64 + 1, *version, index as i64);
            *version += 1;
        }
        refollow((operations, log, followed))
    }

    #[test]
    fn a_true_history_passes() {
        let (operations, log, followed) = world();
        let counts = check(&operations, &log, &followed).unwrap();
        assert_eq!(counts, Counts { acknowledged: 2, refused: 1, unknown_stored: 1, events: 5, ..Counts::default() });
    }

    #[test]
    fn every_seeded_bug_is_caught() {
        let id = Uuid::from_u128;
        let mutants: Vec<(&str, World)> = vec![
            ("an acknowledged event lost", {
                let mut w = world();
                w.1.remove(0);
                renumber(w)
            }),
            ("the tail lost", {
                let mut w = world();
                w.1.truncate(2);
                refollow(w)
            }),
            ("half of an unknown append", {
                let mut w = world();
                w.1.pop();
                refollow(w)
            }),
            ("an event stored twice", {
                let mut w = world();
                let again = w.1[0].clone();
                w.1.push(again);
                renumber(w)
            }),
            ("a refused append stored", {
                let mut w = world();
                w.1.push(LoggedEvent { id: id(4), data: "d4".into(), ..w.1[0].clone() });
                renumber(w)
            }),
            ("an event nobody sent", {
                let mut w = world();
                w.1.push(LoggedEvent { id: id(99), ..w.1[0].clone() });
                renumber(w)
            }),
            ("a gap in positions", {
                let mut w = world();
                w.1[4].position = 6;
                refollow(w)
            }),
            ("a gap in versions", {
                let mut w = world();
                w.1[4].version = 3;
                refollow(w)
            }),
            ("two events swapped", {
                let mut w = world();
                w.1.swap(3, 4);
                renumber(w)
            }),
            ("data altered", {
                let mut w = world();
                w.1[3].data = "d0".into();
                refollow(w)
            }),
            ("another stream", {
                let mut w = world();
                w.1[4].stream = "c".into();
                w.1[4].version = 0;
                refollow(w)
            }),
            ("a wrong position told", {
                let mut w = world();
                if let Some(Operation { outcome: Outcome::Acknowledged { first_position, .. }, .. }) = w.0.get_mut(&2) {
                    *first_position = 1;
                }
                w
            }),
            ("a wrong version told", {
                let mut w = world();
                if let Some(Operation { outcome: Outcome::Acknowledged { first_versions, .. }, .. }) = w.0.get_mut(&2) {
                    first_versions[1].1 = 1;
                }
                w
            }),
            ("time running backwards", {
                let mut w = world();
                w.1[2].recorded_at = 0;
                refollow(w)
            }),
            ("order against real time", {
                let mut w = world();
                w.0.get_mut(&1).unwrap().invoked_at = 100;
                if let Some(Operation { outcome: Outcome::Acknowledged { at, .. }, .. }) = w.0.get_mut(&1) {
                    *at = 110;
                }
                w
            }),
            ("a delivery missed", {
                let mut w = world();
                w.2.remove(2);
                w
            }),
            ("a delivery twice", {
                let mut w = world();
                let again = w.2[1];
                w.2.insert(2, again);
                w
            }),
            ("deliveries swapped", {
                let mut w = world();
                w.2.swap(0, 1);
                w
            }),
            ("a phantom delivered", {
                let mut w = world();
                w.2.push((6, id(7)));
                w
            }),
        ];
        for (what, (operations, log, followed)) in mutants {
            assert!(check(&operations, &log, &followed).is_err(), "not caught: {what}");
        }
    }
}
