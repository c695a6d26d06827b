//! Many writers at once: order, gaplessness, and what an acknowledgement means.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::client::{conflict, stream};
use super::random::Random;
use super::trial::{Trial, join};
use crate::append::{Append, AppendOutcome, ExpectedVersion};
use crate::place::{Partition, Version};
use crate::store::Filter;

pub(super) async fn concurrent_appends_leave_no_gap(trial: &Trial<'_>) {
    let rounds = trial.scaled(15);
    let tasks = (0..8).map(|writer| {
        let client = trial.client();
        let mut random = trial.random(writer);
        tokio::spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..rounds {
                let name = format!("account-{}", random.below(6));
                let events = client.events(1 + random.below(3));
                let sent: Vec<_> = events.iter().map(|event| event.id).collect();
                let answer = client.accepted(Append::to(stream(name), ExpectedVersion::Any, events)).await;
                answers.push((answer, sent));
            }
            answers
        })
    });
    let answers: Vec<_> = join(tasks.collect()).await.into_iter().flatten().collect();
    let mut taken: HashMap<Partition, BTreeSet<u64>> = HashMap::new();
    let log = trial.log().await;
    let by_place: HashMap<_, _> = log.iter().map(|event| (event.place(), event)).collect();
    for (answer, sent) in &answers {
        let positions = answer.first_position.0..=answer.last_position.0;
        assert_eq!(positions.clone().count(), sent.len(), "expected a position an event: {answer:?}");
        for (index, position) in positions.enumerate() {
            let place = crate::Place { partition: answer.partition, position: crate::Position(position) };
            let is_first = taken.entry(answer.partition).or_default().insert(position);
            assert!(is_first, "expected each position to be given once, {place} was given twice");
            let event = by_place.get(&place).unwrap_or_else(|| panic!("expected the acknowledged event at {place}"));
            assert_eq!(event.id, sent[index], "expected the event that was acknowledged at {place}");
            assert_eq!(event.version, answer.streams[0].first_version.plus(index as u64), "expected its version");
        }
    }
    for (partition, positions) in taken {
        let last = *positions.last().expect("a partition that was written has positions");
        assert_eq!(positions.len() as u64, last, "expected positions 1 to {last} of {partition} without a gap");
    }
}

pub(super) async fn an_append_that_began_later_lies_later(trial: &Trial<'_>) {
    let clock = Arc::new(AtomicU64::new(0));
    let rounds = trial.scaled(20);
    let tasks = (0..6).map(|writer| {
        let (client, clock) = (trial.client(), Arc::clone(&clock));
        tokio::spawn(async move {
            let mut appends = Vec::new();
            for round in 0..rounds {
                let began = clock.fetch_add(1, Ordering::SeqCst);
                let answer = client.write(&format!("w{writer}-{}", round % 3), 1).await;
                let ended = clock.fetch_add(1, Ordering::SeqCst);
                appends.push((answer.partition, began, ended, answer.first_position, answer.last_position));
            }
            appends
        })
    });
    let appends: Vec<_> = join(tasks.collect()).await.into_iter().flatten().collect();
    for (partition, _, ended, _, last) in &appends {
        for (other, began, _, first, _) in &appends {
            assert!(
                partition != other || ended > began || last < first,
                "expected an append that began after another was acknowledged to lie after it, got {first} after {last}"
            );
        }
    }
}

pub(super) async fn an_acknowledged_append_is_seen_at_once(trial: &Trial<'_>) {
    let rounds = trial.scaled(8);
    let tasks = (0..4).map(|writer| {
        let client = trial.client();
        tokio::spawn(async move {
            for round in 0..rounds as u64 {
                let name = format!("own-{writer}");
                let before = client.head().await;
                let answer = client.write(&name, 1).await;
                let head = client.head().await;
                assert!(head.covers(&answer.checkpoint), "expected the head {head} to cover {}", answer.checkpoint);
                assert_eq!(
                    client.version(&name).await,
                    Some(Version(round)),
                    "expected a writer to see its own append"
                );
                let events = client.stream_events(&name).await;
                assert_eq!(events.len() as u64, round + 1, "expected a writer to read its own append");
                let log = client.log_after(Some(before), Filter::default(), 100).await;
                let is_there = log.iter().any(|event| event.stream == stream(&name) && event.version.0 == round);
                assert!(is_there, "expected the log after a checkpoint from before the append to hold it");
            }
        })
    });
    join(tasks.collect()).await;
}

pub(super) async fn optimistic_writers_lose_no_update(trial: &Trial<'_>) {
    // Each writer reads the version, decides, appends, and on a conflict goes round: as commands do.
    let rounds = trial.scaled(5);
    let tasks = (0..4).map(|writer| {
        let client = trial.client();
        let mut random: Random = trial.random(100 + writer);
        tokio::spawn(async move {
            let mut done = 0;
            while done < rounds {
                let name = format!("counter-{}", random.below(2));
                let current = client.version(&name).await;
                let expected = current.map_or(ExpectedVersion::None, ExpectedVersion::Exact);
                match client.append(client.request(&name, expected, 1)).await {
                    AppendOutcome::Appended(answer) => {
                        let next = Version::after(current);
                        assert_eq!(
                            answer.streams[0].first_version, next,
                            "expected nothing between decision and append"
                        );
                        done += 1;
                    }
                    other => drop(conflict(other)),
                }
            }
        })
    });
    join(tasks.collect()).await;
    assert_eq!(trial.log().await.len(), 4 * rounds, "expected every accepted append once");
}
