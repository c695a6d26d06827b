//! Appending to one stream: what an append answers, and what it may expect.

use super::client::{appended, conflict, stream};
use super::trial::{Trial, join};
use crate::append::{AppendOutcome, Conflict, ExpectedVersion};
use crate::place::{Position, Version};

pub(super) async fn an_append_answers_with_its_versions_and_positions(trial: &Trial<'_>) {
    trial.write("other-1", 2).await;
    let mut next = Version::FIRST;
    for count in [1, 3, 2, 1] {
        let partition = stream("account-42").partition(trial.partitions);
        let before = trial.head().await;
        let answer = trial.write("account-42", count).await;
        let first = before.position(partition).next();
        let last = Position(before.position(partition).0 + count as u64);
        assert_eq!(answer.streams.len(), 1, "expected one entry a stream: {answer:?}");
        assert_eq!(answer.streams[0].stream, stream("account-42"));
        assert_eq!(answer.streams[0].first_version, next, "expected the first version to follow the stream's");
        assert_eq!(answer.streams[0].last_version, next.plus(count as u64 - 1), "expected {count} versions");
        assert_eq!(answer.partition, partition, "expected the partition of the stream's key");
        assert_eq!((answer.first_position, answer.last_position), (first, last), "expected the next positions");
        for place in answer.checkpoint.iter() {
            let expected = if place.partition == partition { last } else { Position::START };
            assert_eq!(
                place.position, expected,
                "expected the checkpoint to stand at the append: {}",
                answer.checkpoint
            );
        }
        assert_eq!(answer.checkpoint.partitions(), trial.partitions, "expected a checkpoint with every partition");
        let head = trial.head().await;
        assert_eq!(head.position(partition), last, "expected the head to be the acknowledged event");
        assert!(head.covers(&before), "expected the head {head} not to go back from {before}");
        let info = trial.info("account-42").await.expect("expected the stream to exist");
        assert_eq!((info.version, info.partition), (answer.streams[0].last_version, partition));
        next = next.plus(count as u64);
    }
}

pub(super) async fn expected_versions_are_met_or_conflict(trial: &Trial<'_>) {
    use ExpectedVersion::{Any, Exact, Exists, None as Absent};
    let rows = [
        (0, Any, true),
        (0, Absent, true),
        (0, Exists, false),
        (0, Exact(Version(0)), false),
        (0, Exact(Version(7)), false),
        (3, Any, true),
        (3, Absent, false),
        (3, Exists, true),
        (3, Exact(Version(2)), true),
        (3, Exact(Version(1)), false),
        (3, Exact(Version(0)), false),
        (3, Exact(Version(3)), false),
        (3, Exact(Version(u64::MAX >> 1)), false),
        (1, Exact(Version(0)), true),
        (1, Exact(Version(1)), false),
    ];
    for (row, (existing, expected, is_met)) in rows.into_iter().enumerate() {
        let name = format!("account-{row}");
        if existing > 0 {
            trial.write(&name, existing).await;
        }
        let current = existing.checked_sub(1).map(|version| Version(version as u64));
        let head = trial.head().await;
        let outcome = trial.append(trial.request(&name, expected, 2)).await;
        if is_met {
            let answer = appended(outcome);
            assert_eq!(answer.streams[0].first_version, Version::after(current), "{expected} of {current:?}");
        } else {
            let why = Conflict::ExpectedVersion { stream: stream(&name), expected, current };
            assert_eq!(conflict(outcome), why, "expected {expected} of {current:?} to conflict and say what is there");
            assert_eq!(trial.version(&name).await, current, "expected a conflict to store nothing");
            assert_eq!(trial.head().await, head, "expected a conflict to store nothing");
        }
    }
}

pub(super) async fn each_version_is_won_by_one_writer(trial: &Trial<'_>) {
    trial.write("seat-1", 1).await;
    for round in 0..trial.scaled(6) as u64 {
        let current = Version(round);
        let tasks = (0..12).map(|_| {
            let client = trial.client();
            tokio::spawn(
                async move { client.append(client.request("seat-1", ExpectedVersion::Exact(current), 1)).await },
            )
        });
        let outcomes = join(tasks.collect()).await;
        let won = outcomes.iter().filter(|outcome| matches!(outcome, AppendOutcome::Appended(_))).count();
        assert_eq!(won, 1, "expected exactly one of 12 writers to win version {}: {outcomes:?}", round + 1);
        for outcome in outcomes {
            match outcome {
                AppendOutcome::Appended(answer) => assert_eq!(answer.streams[0].first_version, Version(round + 1)),
                other => match conflict(other) {
                    Conflict::ExpectedVersion { current, .. } => {
                        assert_eq!(current, Some(Version(round + 1)), "expected a loser to be told what is there now");
                    }
                    other => panic!("expected a conflict by version, got {other:?}"),
                },
            }
        }
    }
}

pub(super) async fn a_conflict_harms_no_neighbour(trial: &Trial<'_>) {
    // Sent at once, so that an engine takes them as one batch: every other append has an expectation that is wrong.
    trial.write("taken-1", 1).await;
    let tasks = (0..24).map(|number: usize| {
        let client = trial.client();
        tokio::spawn(async move {
            let name = if number.is_multiple_of(2) { format!("free-{number}") } else { "taken-1".to_owned() };
            (number, client.append(client.request(&name, ExpectedVersion::None, 2)).await)
        })
    });
    for (number, outcome) in join(tasks.collect()).await {
        if number.is_multiple_of(2) {
            assert_eq!(
                appended(outcome).streams[0].last_version,
                Version(1),
                "expected append {number} to stand alone"
            );
        } else {
            conflict(outcome);
        }
    }
    assert_eq!(trial.log().await.len(), 1 + 12 * 2, "expected what was accepted and nothing else");
}
