//! Partitions: the unit of order. With one of them every key meets every other; with four, keys part.

use super::client::{conflict, item, query, stream, tagged};
use super::trial::Trial;
use crate::append::{Append, Conflict, ExpectedVersion};
use crate::place::{Checkpoint, Partition, Position};
use crate::store::Filter;

/// A key that lives in this partition.
fn key_in(trial: &Trial<'_>, partition: u16) -> String {
    let keys = (0..).map(|number: u32| number.to_string());
    let mut keys = keys.filter(|key| stream(format!("a-{key}")).partition(trial.partitions) == Partition(partition));
    keys.next().expect("every partition has keys")
}

pub(super) async fn streams_of_one_key_meet(trial: &Trial<'_>) {
    for partition in 0..trial.partitions {
        let key = key_in(trial, partition);
        let request = trial
            .request(&format!("order-{key}"), ExpectedVersion::None, 1)
            .and(stream(format!("payment-{key}")), ExpectedVersion::None, trial.events(1))
            .and(stream(format!("a-{key}")), ExpectedVersion::None, trial.events(1));
        let answer = trial.accepted(request).await;
        assert_eq!(answer.partition, Partition(partition), "expected the partition of the key `{key}`");
        let positions = (answer.first_position, answer.last_position);
        assert_eq!(positions, (Position(1), Position(3)), "expected each partition to count for itself");
        for name in ["order", "payment", "a"] {
            let info = trial.info(&format!("{name}-{key}")).await.expect("expected the stream to exist");
            assert_eq!(info.partition, Partition(partition), "expected streams of the key `{key}` to meet");
        }
    }
}

pub(super) async fn an_append_stays_in_one_partition(trial: &Trial<'_>) {
    let names: Vec<String> = (0..trial.partitions).map(|partition| format!("a-{}", key_in(trial, partition))).collect();
    let head = trial.head().await;
    for other in &names[1..] {
        let request = trial.request(&names[0], ExpectedVersion::Any, 1);
        let request = request.and(stream("b-0"), ExpectedVersion::Any, Vec::new());
        let mut request = request.and(stream(other), ExpectedVersion::Any, trial.events(1));
        request.writes.remove(1);
        let refused = trial.refused(request).await;
        assert_eq!(refused.field, "writes[1].stream", "expected the stream of another partition named: {refused}");
        assert!(refused.problem.contains(other.as_str()), "expected the problem to say which stream: {refused}");
    }
    assert_eq!(trial.head().await, head, "expected refusals to store nothing");
    // One by one they are welcome.
    for name in &names {
        trial.write(name, 1).await;
    }
}

pub(super) async fn a_condition_sees_its_own_partition(trial: &Trial<'_>) {
    let keys: Vec<String> = (0..trial.partitions).map(|partition| key_in(trial, partition)).collect();
    for key in &keys {
        // Each partition's first holder of the seat finds nothing there; its second finds the first.
        for is_first in [true, false] {
            let event = tagged(trial.event("Held"), &["seat:1"]);
            let request = Append::to(stream(format!("a-{key}")), ExpectedVersion::Any, vec![event]);
            let request = request.unless(query([item(&[], &["seat:1"])]), None);
            if is_first {
                trial.accepted(request).await;
            } else {
                match conflict(trial.append(request).await) {
                    Conflict::Condition { matched } => {
                        assert_eq!(matched.position, Position(1), "expected the match of this partition");
                        let partition = stream(format!("a-{key}")).partition(trial.partitions);
                        assert_eq!(matched.partition, partition, "expected the match of this partition");
                    }
                    other => panic!("expected a conflict by condition, got {other:?}"),
                }
            }
        }
    }
}

pub(super) async fn a_checkpoint_names_every_partition(trial: &Trial<'_>) {
    let keys: Vec<String> = (0..trial.partitions).map(|partition| key_in(trial, partition)).collect();
    for (index, key) in keys.iter().enumerate() {
        trial.write(&format!("a-{key}"), index + 1).await;
    }
    let head = trial.head().await;
    let expected = Checkpoint::new((1..=u64::from(trial.partitions)).map(Position), head.epoch());
    assert_eq!(head, expected, "expected the head of every partition");
    let parsed: Checkpoint = head.to_string().parse().expect("a checkpoint that was printed");
    assert_eq!(parsed, head, "expected a checkpoint to survive its text");
    // From the head but for one partition, one reads that partition.
    for partition in 0..trial.partitions {
        let positions =
            head.iter().map(|place| if place.partition.0 == partition { Position::START } else { place.position });
        let after = Checkpoint::new(positions.collect::<Vec<_>>(), head.epoch());
        let events = trial.log_after(Some(after.clone()), Filter::default(), 2).await;
        assert_eq!(events.len(), usize::from(partition) + 1, "expected what lies after {after}");
        assert!(events.iter().all(|event| event.partition == Partition(partition)), "expected partition {partition}");
    }
}
