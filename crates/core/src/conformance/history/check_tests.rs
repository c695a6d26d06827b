use super::*;
use crate::conformance::history::SentEvent;

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
