//! Tracking: a consumer's checkpoint commits with its append, or neither does.

use super::client::{appended, conflict, duplicate, item, query, tagged};
use super::trial::{Trial, join};
use crate::append::{AppendOutcome, Conflict, ExpectedVersion};
use crate::place::{Checkpoint, Epoch, Position};

/// A checkpoint with every partition at `position`.
fn at(trial: &Trial<'_>, position: u64) -> Checkpoint {
    Checkpoint::new((0..trial.partitions).map(|_| Position(position)), Epoch::FIRST)
}

/// Something to consume: every partition gets far enough that a checkpoint at a few events lies within the log.
async fn feed(trial: &Trial<'_>) {
    let enough = trial.scaled(5) as u64 + 6;
    let mut number = 0;
    while trial.head().await.iter().any(|place| place.position.0 < enough) {
        trial.write(&format!("fed-{number}"), 3).await;
        number += 1;
        assert!(number < 10_000, "expected streams to spread over all partitions");
    }
}

pub(super) async fn a_checkpoint_past_the_head_is_refused(trial: &Trial<'_>) {
    feed(trial).await;
    let head = trial.head().await;
    let mut past = head.clone();
    past.advance(crate::Partition(0), head.position(crate::Partition(0)).next());
    let later_epoch = at(trial, 1).in_epoch(Epoch(7));
    for checkpoint in [past, later_epoch] {
        let request = trial.request("bill-7", ExpectedVersion::Any, 1).tracking("billing", checkpoint.clone());
        let refused = trial.refused(request).await;
        assert_eq!(refused.field, "tracking.checkpoint", "expected {checkpoint} to be refused at {head}");
    }
    assert_eq!(trial.head().await, head, "expected nothing to be stored");
    assert_eq!(trial.tracked("billing").await, None, "expected nobody to stand past the head");
    trial.accepted(trial.request("bill-7", ExpectedVersion::Any, 1).tracking("billing", head)).await;
}

pub(super) async fn a_checkpoint_commits_with_its_append(trial: &Trial<'_>) {
    feed(trial).await;
    assert_eq!(trial.tracked("billing").await, None, "expected nothing of a consumer that never appended");
    for position in [0, 1, 5] {
        let request = trial.request("bill-7", ExpectedVersion::Any, 1).tracking("billing", at(trial, position));
        trial.accepted(request).await;
        assert_eq!(trial.tracked("billing").await, Some(at(trial, position)), "expected it to stand where it said");
    }
    assert_eq!(trial.tracked("Billing").await, None, "expected names to be taken as they are");
    // Another consumer is on its own, and an append without tracking moves nobody.
    trial.accepted(trial.request("bill-7", ExpectedVersion::Any, 1).tracking("mailing ✉", at(trial, 2))).await;
    trial.write("bill-7", 1).await;
    assert_eq!(trial.tracked("mailing ✉").await, Some(at(trial, 2)));
    assert_eq!(trial.tracked("billing").await, Some(at(trial, 5)));
}

pub(super) async fn a_checkpoint_that_would_not_advance_is_refused(trial: &Trial<'_>) {
    feed(trial).await;
    let first = trial.request("bill-7", ExpectedVersion::Any, 2).tracking("billing", at(trial, 5));
    trial.accepted(first.clone()).await;
    let mut wrong = vec![at(trial, 5), at(trial, 4), at(trial, 0)];
    if trial.partitions > 1 {
        // Forward in one partition and back in another is no advance.
        let mut mixed = at(trial, 4);
        mixed.advance(crate::Partition(1), Position(9));
        wrong.push(mixed);
    }
    let head = trial.head().await;
    for checkpoint in wrong {
        let request = trial.request("bill-7", ExpectedVersion::Any, 1).tracking("billing", checkpoint.clone());
        let why = Conflict::Tracking { name: "billing".to_owned(), current: at(trial, 5) };
        assert_eq!(conflict(trial.append(request).await), why, "expected {checkpoint} after 5 not to advance");
    }
    duplicate(trial.append(first).await);
    assert_eq!(trial.head().await, head, "expected none of it to store anything");
    assert_eq!(trial.tracked("billing").await, Some(at(trial, 5)), "expected the consumer to stay where it was");
    let mut next = at(trial, 5);
    next.advance(crate::Partition(trial.partitions - 1), Position(6));
    trial.accepted(trial.request("bill-7", ExpectedVersion::Any, 1).tracking("billing", next.clone())).await;
    assert_eq!(trial.tracked("billing").await, Some(next), "expected one partition's step to be an advance");
}

pub(super) async fn a_conflict_does_not_advance_a_checkpoint(trial: &Trial<'_>) {
    feed(trial).await;
    let seat = tagged(trial.event("Held"), &["seat:1"]);
    let first = crate::Append::to(super::client::stream("bill-7"), ExpectedVersion::Any, vec![seat.clone()]);
    trial.accepted(first.tracking("billing", at(trial, 1))).await;
    let by_version = trial.request("bill-7", ExpectedVersion::None, 1);
    let by_condition = trial.request("bill-7", ExpectedVersion::Any, 1).unless(query([item(&["Held"], &[])]), None);
    let mut by_ids = trial.request("bill-7", ExpectedVersion::Any, 1);
    by_ids.writes[0].events.push(seat);
    let mut over = trial.request("bill-7", ExpectedVersion::Any, 1);
    over.writes[0].events[0].schema_version = Some(0);
    for (what, request) in [("version", by_version), ("condition", by_condition), ("ids", by_ids)] {
        conflict(trial.append(request.tracking("billing", at(trial, 2))).await);
        assert_eq!(trial.tracked("billing").await, Some(at(trial, 1)), "expected a conflict by {what} to move nobody");
    }
    trial.refused(over.tracking("billing", at(trial, 2))).await;
    assert_eq!(trial.tracked("billing").await, Some(at(trial, 1)), "expected an invalid append to move nobody");
    trial.accepted(trial.request("bill-7", ExpectedVersion::Any, 1).tracking("billing", at(trial, 2))).await;
}

pub(super) async fn of_concurrent_consumers_one_advances(trial: &Trial<'_>) {
    feed(trial).await;
    // Two instances of one consumer take the same events; what each makes of them has ids of its own.
    for round in 1..=trial.scaled(5) as u64 {
        let tasks = (0..8).map(|_| {
            let client = trial.client();
            let request = trial.request("bill-7", ExpectedVersion::Any, 1).tracking("billing", at(trial, round));
            tokio::spawn(async move { client.append(request).await })
        });
        let outcomes = join(tasks.collect()).await;
        let won: Vec<_> = outcomes.iter().filter(|outcome| matches!(outcome, AppendOutcome::Appended(_))).collect();
        assert_eq!(won.len(), 1, "expected one of 8 instances to take step {round}: {outcomes:?}");
        appended(won[0].clone());
    }
    let written = trial.stream_events("bill-7").await.len();
    assert_eq!(written, trial.scaled(5), "expected every step to take effect exactly once");
}
