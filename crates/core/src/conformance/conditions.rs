//! Conditions: "no event matching this query after this checkpoint", asked in the append's own partition.

use super::client::{conflict, item, query, stream, tagged};
use super::trial::{Trial, join};
use crate::append::{Append, AppendOutcome, AppendRequest, Conflict, ExpectedVersion, Query, QueryItem};
use crate::place::{Checkpoint, Place};

/// An append to a stream of this key that must not find what `query` asks for.
fn probe(trial: &Trial<'_>, query: Query, after: Option<Checkpoint>) -> AppendRequest {
    trial.request("probe-7", ExpectedVersion::Any, 1).unless(query, after)
}

fn matched(outcome: AppendOutcome) -> Place {
    match conflict(outcome) {
        Conflict::Condition { matched } => matched,
        other => panic!("expected a conflict by condition, got {other:?}"),
    }
}

pub(super) async fn a_condition_asks_for_types_and_tags(trial: &Trial<'_>) {
    let log: [(&str, &[&str]); 5] = [
        ("SeatHeld", &["seat:1", "show:9"]),
        ("SeatHeld", &["seat:2"]),
        ("SeatFreed", &["seat:1"]),
        ("ShowClosed", &[]),
        ("SeatHeld", &["show:9", "seat:3", "row:1"]),
    ];
    let mut places = Vec::new();
    for (index, (name, tags)) in log.into_iter().enumerate() {
        // Over two streams of one key: a condition looks across streams.
        let events = vec![tagged(trial.event(name), tags)];
        let to = stream(if index.is_multiple_of(2) { "seats-7" } else { "shows-7" });
        let answer = trial.accepted(Append::to(to, ExpectedVersion::Any, events)).await;
        places.push(Place { partition: answer.partition, position: answer.first_position });
    }
    let rows: Vec<(Vec<QueryItem>, Option<usize>)> = vec![
        (vec![item(&["SeatHeld"], &[])], Some(0)),
        (vec![item(&["SeatFreed"], &[])], Some(2)),
        (vec![item(&["SeatSold"], &[])], None),
        (vec![item(&["seatheld"], &[])], None),
        (vec![item(&["Seat"], &[])], None),
        (vec![item(&["SeatSold", "ShowClosed"], &[])], Some(3)),
        (vec![item(&[], &["seat:2"])], Some(1)),
        (vec![item(&[], &["seat:"])], None),
        (vec![item(&[], &["seat:1", "show:9"])], Some(0)),
        (vec![item(&[], &["show:9", "seat:3"])], Some(4)),
        (vec![item(&[], &["seat:2", "show:9"])], None),
        (vec![item(&[], &["seat:1", "seat:2"])], None),
        (vec![item(&["SeatFreed"], &["seat:1"])], Some(2)),
        (vec![item(&["SeatFreed"], &["seat:2"])], None),
        (vec![item(&["ShowClosed"], &["seat:1"])], None),
        (vec![item(&["SeatFreed", "SeatHeld"], &["row:1", "show:9"])], Some(4)),
        (vec![item(&["SeatSold"], &[]), item(&[], &["row:1"])], Some(4)),
        (vec![item(&[], &["row:1"]), item(&["ShowClosed"], &[])], Some(3)),
        (vec![item(&["SeatFreed"], &["seat:2"]), item(&["SeatHeld"], &["row:2"])], None),
    ];
    for (items, expected) in rows {
        let asked = query(items.clone());
        let head = trial.head().await;
        let outcome = trial.append(probe(trial, asked, None)).await;
        match expected {
            Some(index) => {
                assert_eq!(matched(outcome), places[index], "expected {items:?} to name its first match");
                assert_eq!(trial.head().await, head, "expected a conflict to store nothing");
            }
            None => assert!(
                matches!(outcome, AppendOutcome::Appended(_)),
                "expected {items:?} to match nothing, got {outcome:?}"
            ),
        }
    }
}

pub(super) async fn a_condition_looks_after_its_checkpoint(trial: &Trial<'_>) {
    let mut places = Vec::new();
    for number in 0..6 {
        let event =
            if number == 1 || number == 4 { tagged(trial.event("Held"), &["seat:1"]) } else { trial.event("Noted") };
        let answer = trial.accepted(Append::to(stream("seats-7"), ExpectedVersion::Any, vec![event])).await;
        places.push((answer.checkpoint, Place { partition: answer.partition, position: answer.first_position }));
    }
    let asked = || query([item(&["Held"], &["seat:1"])]);
    assert_eq!(matched(trial.append(probe(trial, asked(), None)).await), places[1].1, "expected the whole log asked");
    let start = Checkpoint::start(trial.partitions, trial.head().await.epoch());
    let first = matched(trial.append(probe(trial, asked(), Some(start))).await);
    assert_eq!(first, places[1].1, "expected the start to look at the whole log");
    for (index, (checkpoint, _)) in places.iter().enumerate() {
        let outcome = trial.append(probe(trial, asked(), Some(checkpoint.clone()))).await;
        match index {
            0 => assert_eq!(matched(outcome), places[1].1, "expected a match right after {checkpoint}"),
            1..=3 => assert_eq!(matched(outcome), places[4].1, "expected the match after {checkpoint}, not one before"),
            _ => assert!(matches!(outcome, AppendOutcome::Appended(_)), "expected no match after {checkpoint}"),
        }
    }
    // At the head nothing can match yet.
    trial.accepted(probe(trial, asked(), Some(trial.head().await))).await;
}

pub(super) async fn a_condition_does_not_see_its_own_events(trial: &Trial<'_>) {
    let held = || tagged(trial.event("Held"), &["seat:1"]);
    let request = || {
        Append::to(stream("seats-7"), ExpectedVersion::Any, vec![held(), held()])
            .and(stream("shows-7"), ExpectedVersion::Any, vec![held()])
            .unless(query([item(&[], &["seat:1"])]), None)
    };
    let first = trial.accepted(request()).await;
    let again = matched(trial.append(request()).await);
    assert_eq!(again.position, first.first_position, "expected the next one to see them");
}

pub(super) async fn of_concurrent_conditional_appends_one_succeeds(trial: &Trial<'_>) {
    for round in 0..trial.scaled(6) {
        let seat = format!("seat:{round}");
        let head = trial.head().await;
        let tasks = (0..10).map(|writer: usize| {
            let client = trial.client();
            let unless = query([item(&["SeatSold"], &[]), item(&["SeatHeld"], &[seat.as_str()])]);
            let after = (!writer.is_multiple_of(3)).then(|| head.clone());
            let event = tagged(client.event("SeatHeld"), &["show:1", &seat]);
            // Of one partition but of many streams: nothing but the condition stands between them.
            let request = Append::to(stream(format!("guest{writer}-7")), ExpectedVersion::Any, vec![event]);
            tokio::spawn(async move { client.append(request.unless(unless, after)).await })
        });
        let outcomes = join(tasks.collect()).await;
        let mut won = None;
        let mut lost = Vec::new();
        for outcome in outcomes {
            match outcome {
                AppendOutcome::Appended(answer) => {
                    let place = Place { partition: answer.partition, position: answer.first_position };
                    assert_eq!(won.replace(place), None, "expected only one of 10 to hold {seat}");
                }
                other => lost.push(matched(other)),
            }
        }
        let won = won.expect("expected one of 10 conditional appends to succeed");
        assert!(lost.iter().all(|place| *place == won), "expected losers to be told of {won}: {lost:?}");
    }
}

pub(super) async fn a_condition_that_makes_no_sense_is_refused(trial: &Trial<'_>) {
    let head = trial.write("seats-7", 2).await.checkpoint;
    let known = || query([item(&["Held"], &[])]);
    let mut past = head.clone();
    let partition = stream("probe-7").partition(trial.partitions);
    past.advance(partition, head.position(partition).next());
    let later = head.clone().in_epoch(crate::Epoch(head.epoch().0 + 1));
    let other = Checkpoint::start(trial.partitions + 1, head.epoch());
    let many = (0..=trial.limits.query_terms_max).map(|number| item(&[&format!("T{number}")], &[]));
    let types: Vec<String> = (0..=trial.limits.query_terms_max).map(|number| format!("T{number}")).collect();
    let wide = item(&types.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    let rows = [
        ("a checkpoint past the head", probe(trial, known(), Some(past)), "condition.after"),
        ("a checkpoint of a later epoch", probe(trial, known(), Some(later)), "condition.after"),
        ("a checkpoint of more partitions", probe(trial, known(), Some(other)), "condition.after"),
        ("no item", probe(trial, query([]), None), "condition.items"),
        ("an item that matches everything", probe(trial, query([item(&[], &[])]), None), "condition.items[0]"),
        ("too many items", probe(trial, query(many), None), "condition.items"),
        ("too many types", probe(trial, query([wide]), None), "condition.items[0]"),
    ];
    let head = trial.head().await;
    for (what, request, field) in rows {
        let refused = trial.refused(request).await;
        assert_eq!(refused.field, field, "expected {what} to be refused by its field: {refused}");
    }
    assert_eq!(trial.head().await, head, "expected refusals to store nothing");
}
