//! A retry is safe, however the client regroups it: by the events' ids, or by the append's key.
//!
//! Ids and keys are asked about where they were used, in one partition: streams here share their key where it matters.

use bytes::Bytes;

use super::client::{appended, conflict, duplicate, event_type, ids, item, query, stream, tagged};
use super::trial::{Trial, join};
use crate::append::{Append, AppendOutcome, AppendRequest, Conflict, ExpectedVersion, Refusal};
use crate::event::{EventId, Metadata, NewEvent, Payload, Timestamp};
use crate::place::{Position, Version};

fn to(name: &str, events: &[NewEvent]) -> AppendRequest {
    Append::to(stream(name), ExpectedVersion::Any, events.to_vec())
}

/// Every way to cut `count` events into runs: the bits of a number say after which events to cut.
fn groupings(count: usize) -> impl Iterator<Item = Vec<std::ops::Range<usize>>> {
    (0..1_u32 << (count - 1)).map(move |cuts| {
        let mut runs = Vec::new();
        let mut start = 0;
        for end in 1..=count {
            if end == count || cuts & (1 << (end - 1)) != 0 {
                runs.push(start..end);
                start = end;
            }
        }
        runs
    })
}

pub(super) async fn a_retry_regrouped_in_every_way_stores_nothing_twice(trial: &Trial<'_>) {
    for count in [1, 2, 3, 5] {
        for (way, sent) in groupings(count).enumerate() {
            let name = format!("retry{count}-{way}");
            // Something before and between, so that positions are not versions.
            trial.write(&name, 1).await;
            let events = trial.events(count);
            let mut places = Vec::new();
            for run in &sent {
                let answer = trial.accepted(to(&name, &events[run.clone()])).await;
                places.extend(answer.first_position.0..=answer.last_position.0);
                trial.write("noise-1", 1).await;
            }
            let head = trial.head().await;
            let check = |run: &std::ops::Range<usize>, outcome| {
                let answer = duplicate(outcome);
                let versions = (answer.streams[0].first_version, answer.streams[0].last_version);
                let expected = (Version(1 + run.start as u64), Version(run.end as u64));
                assert_eq!(versions, expected, "sent as {sent:?}, again as {run:?}: expected the original versions");
                let positions = (answer.first_position, answer.last_position);
                let expected = (Position(places[run.start]), Position(places[run.end - 1]));
                assert_eq!(positions, expected, "sent as {sent:?}, again as {run:?}: expected the original positions");
            };
            for again in groupings(count) {
                // All of one retry at once, so that they meet in one batch.
                let retries = again.iter().map(|run| trial.append(to(&name, &events[run.clone()])));
                for (run, outcome) in again.iter().zip(futures::future::join_all(retries).await) {
                    check(run, outcome);
                }
            }
            let runs = (0..count).flat_map(|start| (start + 1..=count).map(move |end| start..end));
            for run in runs.filter(|_| way == 0) {
                check(&run, trial.append(to(&name, &events[run.clone()])).await);
            }
            assert_eq!(trial.head().await, head, "sent as {sent:?}: expected retries to store nothing");
            let stored = ids(&trial.stream_events(&name).await[1..]);
            assert_eq!(stored, events.iter().map(|event| event.id).collect::<Vec<_>>(), "sent as {sent:?}");
        }
    }
}

pub(super) async fn known_and_new_ids_conflict(trial: &Trial<'_>) {
    let events = trial.events(6);
    trial.accepted(to("mixed-1", &events[1..4])).await;
    for (first, last) in [(0, 2), (0, 4), (0, 6), (3, 5), (2, 6)] {
        let head = trial.head().await;
        let outcome = trial.append(to("mixed-1", &events[first..last])).await;
        let known = (first.max(1)..last.min(4)).map(|index| events[index].id).collect();
        assert_eq!(conflict(outcome), Conflict::Ids { known }, "expected {first}..{last} to name the known ids");
        assert_eq!(trial.head().await, head, "expected a conflict to store nothing");
    }
    // The new ones alone are welcome.
    trial.accepted(to("mixed-1", &events[4..6])).await;
    trial.accepted(to("mixed-1", &events[0..1])).await;
}

pub(super) async fn known_ids_that_are_no_run_conflict(trial: &Trial<'_>) {
    let events = trial.events(4);
    trial.accepted(to("run-1", &events)).await;
    let head = trial.head().await;
    for order in [vec![1, 0], vec![0, 2], vec![3, 2, 1, 0], vec![0, 1, 3]] {
        let picked: Vec<NewEvent> = order.iter().map(|&index: &usize| events[index].clone()).collect();
        let known = picked.iter().map(|event| event.id).collect();
        let why = conflict(trial.append(to("run-1", &picked)).await);
        assert_eq!(why, Conflict::Ids { known }, "expected {order:?}, which is no run of the stream, to conflict");
    }
    assert_eq!(trial.head().await, head, "expected conflicts to store nothing");
}

pub(super) async fn an_id_with_other_content_is_refused(trial: &Trial<'_>) {
    let plain = trial.event("Noted");
    let rich = NewEvent {
        schema_version: Some(3),
        metadata: Metadata { actor: Some("anna".into()), headers: Some("{}".into()), ..Metadata::default() },
        occurred_at: Some(Timestamp::from_micros(1_000)),
        ..tagged(trial.event("Noted"), &["a:1", "b:2"])
    };
    trial.accepted(to("known-1", &[plain.clone(), rich.clone()])).await;
    let others = [
        ("data", NewEvent { data: Payload::Json("{}".into()), ..plain.clone() }),
        ("a space in data", NewEvent { data: Payload::Json(spaced(&plain)), ..plain.clone() }),
        ("binary data", NewEvent { data: Payload::Binary(plain.data.bytes().clone()), ..plain.clone() }),
        ("type", NewEvent { event_type: event_type("Corrected"), ..plain.clone() }),
        ("a tag more", tagged(plain.clone(), &["a:1"])),
        ("schema version", NewEvent { schema_version: Some(2), ..plain.clone() }),
        ("occurred_at", NewEvent { occurred_at: Some(Timestamp::from_micros(5)), ..plain.clone() }),
        ("an actor", NewEvent { metadata: rich.metadata.clone(), ..plain }),
        ("a tag less", tagged(rich.clone(), &["a:1"])),
        ("another schema version", NewEvent { schema_version: Some(4), ..rich.clone() }),
        ("no occurred_at", NewEvent { occurred_at: None, ..rich.clone() }),
        ("another occurred_at", NewEvent { occurred_at: Some(Timestamp::from_micros(1_001)), ..rich.clone() }),
        (
            "other headers",
            NewEvent { metadata: Metadata { headers: Some("{ }".into()), ..rich.metadata.clone() }, ..rich.clone() },
        ),
        ("no metadata", NewEvent { metadata: Metadata::default(), ..rich.clone() }),
    ];
    let head = trial.head().await;
    let refused = |id: EventId| {
        let version = Version(u64::from(id == rich.id));
        AppendOutcome::Refused(Refusal::IdReused { id, stream: stream("known-1"), version })
    };
    for (what, event) in others {
        let id = event.id;
        let alone = trial.append(to("known-1", std::slice::from_ref(&event))).await;
        assert_eq!(alone, refused(id), "expected a known id with other content ({what}) to be refused");
        let with_new = trial.append(to("known-1", &[trial.event("Noted"), event])).await;
        assert_eq!(with_new, refused(id), "expected it among new events ({what}) to be refused");
    }
    let elsewhere = trial.append(to("elsewhere-1", std::slice::from_ref(&rich))).await;
    assert_eq!(elsewhere, refused(rich.id), "expected a known id in another stream to be refused");
    assert_eq!(trial.head().await, head, "expected refusals to store nothing");
}

fn spaced(event: &NewEvent) -> Bytes {
    let mut bytes = event.data.bytes().to_vec();
    bytes.push(b' ');
    bytes.into()
}

pub(super) async fn a_retry_outlives_its_expectation_and_condition(trial: &Trial<'_>) {
    let taken = tagged(trial.event("SeatTaken"), &["seat:1"]);
    let unless = query([item(&["SeatTaken"], &["seat:1"])]);
    let mut request = Append::to(stream("seat-1"), ExpectedVersion::None, vec![taken]).unless(unless, None);
    request.tracking = Some(crate::Tracking { name: "booking".to_owned(), checkpoint: trial.head().await });
    let first = trial.accepted(request.clone()).await;
    // By now the stream exists, the condition matches, and the checkpoint would not advance.
    let again = duplicate(trial.append(request.clone()).await);
    assert_eq!(crate::Appended { duplicate: false, ..again }, first, "expected the original answer");
    trial.write("seat-1", 2).await;
    for expected in [ExpectedVersion::Any, ExpectedVersion::Exists, ExpectedVersion::Exact(Version(9))] {
        request.writes[0].expected = expected;
        duplicate(trial.append(request.clone()).await);
    }
}

pub(super) async fn a_key_gives_its_answer_to_new_ids(trial: &Trial<'_>) {
    let key = trial.id();
    let request =
        to("keyed-1", &trial.events(3)).and(stream("pair-1"), ExpectedVersion::None, trial.events(1)).key(key);
    let first = trial.accepted(request.clone()).await;
    trial.write("keyed-1", 1).await;
    let head = trial.head().await;
    for expected in [ExpectedVersion::Any, ExpectedVersion::None, ExpectedVersion::Exact(Version(77))] {
        let mut again = request.clone();
        for write in &mut again.writes {
            write.expected = expected;
            for event in &mut write.events {
                event.id = EventId(trial.id());
            }
        }
        let answer = duplicate(trial.append(again).await);
        assert_eq!(crate::Appended { duplicate: false, ..answer }, first, "expected the answer of the first time");
    }
    assert_eq!(trial.head().await, head, "expected a used key to store nothing");
    // Known ids are recognised under another key, and under none.
    duplicate(trial.append(AppendRequest { key: Some(trial.id()), ..request.clone() }).await);
    duplicate(trial.append(AppendRequest { key: None, ..request }).await);
}

pub(super) async fn a_key_with_other_content_is_refused(trial: &Trial<'_>) {
    let key = trial.id();
    let events = trial.events(2);
    trial.accepted(to("keyed-1", &events).key(key)).await;
    let head = trial.head().await;
    let refused = AppendOutcome::Refused(Refusal::KeyReused { key });
    let with_new_ids = |events: &[NewEvent]| -> Vec<NewEvent> {
        events.iter().map(|event| NewEvent { id: EventId(trial.id()), ..event.clone() }).collect()
    };
    let same = with_new_ids(&events);
    let others = [
        ("fewer events", to("keyed-1", &same[..1])),
        ("more events", to("keyed-1", &[same.clone(), trial.events(1)].concat())),
        ("another order", to("keyed-1", &[same[1].clone(), same[0].clone()])),
        ("another stream", to("pair-1", &same)),
        ("a second stream", to("keyed-1", &same).and(stream("pair-1"), ExpectedVersion::Any, trial.events(1))),
        ("other data", to("keyed-1", &trial.events(2))),
        ("a tag", to("keyed-1", &[tagged(same[0].clone(), &["a"]), same[1].clone()])),
        ("the same ids, fewer", to("keyed-1", &events[..1])),
    ];
    for (what, request) in others {
        assert_eq!(trial.append(request.key(key)).await, refused, "expected a key with other content ({what}) refused");
    }
    assert_eq!(trial.head().await, head, "expected refusals to store nothing");
}

pub(super) async fn a_conflict_leaves_its_key_unused(trial: &Trial<'_>) {
    let key = trial.id();
    let events = trial.events(2);
    let request = |expected| Append::to(stream("later-1"), expected, events.clone()).key(key);
    conflict(trial.append(request(ExpectedVersion::Exists)).await);
    let answer = trial.accepted(request(ExpectedVersion::None)).await;
    assert_eq!(
        answer.streams[0].last_version,
        Version(1),
        "expected a request that conflicted to be free to try again"
    );
    duplicate(trial.append(request(ExpectedVersion::Exists)).await);
}

pub(super) async fn concurrent_twins_store_once(trial: &Trial<'_>) {
    for round in 0..trial.scaled(4) {
        let name = format!("twin-{round}");
        let key = trial.id();
        let request = to(&name, &trial.events(3)).key(key);
        let tasks = (0..8).map(|twin: usize| {
            let (client, mut request) = (trial.client(), request.clone());
            // Of four kinds: the same ids or new ones, under the key; the same ids, under no key and another.
            match twin % 4 {
                1 => request.writes[0].events.iter_mut().for_each(|event| event.id = EventId(client.id())),
                2 => request.key = None,
                3 => request.key = Some(client.id()),
                _ => {}
            }
            tokio::spawn(async move { (twin % 4, client.append(request).await) })
        });
        let outcomes = join(tasks.collect()).await;
        let new_ids_won = outcomes.iter().any(|(kind, outcome)| {
            *kind == 1 && matches!(outcome, AppendOutcome::Appended(answer) if !answer.duplicate)
        });
        let stored = trial.stream_events(&name).await.len();
        if new_ids_won {
            // Then those without the key had new events to offer; each id and the key was still stored once.
            assert!(stored == 3 || stored == 6, "expected twins to be stored once, got {stored} events: {outcomes:?}");
            continue;
        }
        // The first may have come without the key; then the key may have been taken by new ids later on.
        let first: Vec<_> =
            outcomes.into_iter().map(|(_, outcome)| appended(outcome)).filter(|a| !a.duplicate).collect();
        assert_eq!(stored, 3 * first.len(), "expected the stream to hold what was acknowledged as new: {first:?}");
        assert_eq!(first.len(), 1, "expected twins to be stored once: {first:?}");
    }
}

pub(super) async fn racing_regroupings_store_each_event_once(trial: &Trial<'_>) {
    for round in 0..trial.scaled(3) {
        let name = format!("race-{round}");
        let events = trial.events(5);
        let ways: Vec<_> = groupings(5).collect();
        let tasks = (0..4).map(|writer| {
            let (client, events, name) = (trial.client(), events.clone(), name.clone());
            let way = ways[(round * 7 + writer * 5) % ways.len()].clone();
            tokio::spawn(async move {
                for run in way {
                    // A mixture that another writer made is a conflict; a client then sends them one by one.
                    if let AppendOutcome::Conflict(_) = client.append(to(&name, &events[run.clone()])).await {
                        for event in &events[run] {
                            appended(client.append(to(&name, std::slice::from_ref(event))).await);
                        }
                    }
                }
            })
        });
        join(tasks.collect()).await;
        let mut stored = ids(&trial.stream_events(&name).await);
        stored.sort_unstable();
        let mut sent: Vec<_> = events.iter().map(|event| event.id).collect();
        sent.sort_unstable();
        assert_eq!(stored, sent, "expected racing retries to store each event exactly once");
    }
}
