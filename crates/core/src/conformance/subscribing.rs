//! Subscribing: catch-up and live as one, nothing missed, nothing twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;

use super::client::{Event, event_type, ids, stream};
use super::reading::wrong_checkpoints;
use super::trial::{Trial, join};
use crate::append::{Append, ExpectedVersion};
use crate::place::{Checkpoint, Place};
use crate::store::{Filter, ReadError};
use crate::subscription::{Delivery, Subscribe};

/// What of the log lies after a checkpoint, by place.
fn after(log: &[Event], checkpoint: &Checkpoint) -> Vec<Place> {
    let behind = log.iter().filter(|event| event.position > checkpoint.position(event.partition));
    sorted(behind)
}

fn sorted<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Place> {
    let mut places: Vec<_> = events.into_iter().map(|event| event.place()).collect();
    places.sort_unstable();
    places
}

pub(super) async fn a_subscription_from_every_point_misses_nothing(trial: &Trial<'_>) {
    for number in 0..6 {
        trial.write(&format!("early-{}", number % 3), 1 + number % 2).await;
    }
    let rounds = trial.scaled(12);
    let write = || -> Vec<_> {
        let writers = (0..3).map(|writer| {
            let client = trial.client();
            tokio::spawn(async move {
                for round in 0..rounds {
                    client.write(&format!("w{writer}-{}", round % 5), 1 + round % 3).await;
                    // Slowly enough that readers are now behind the head and now at it.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
        });
        writers.collect()
    };
    let writers = write();
    // While they write, one follower after another begins, at points of the past and at what is the head just now.
    let (done, _) = tokio::sync::watch::channel(None::<Checkpoint>);
    let caught_up = Arc::new(AtomicUsize::new(0));
    let mut followers = Vec::new();
    let mut random = trial.random(1);
    for number in 0..trial.scaled(20) {
        let head = trial.head().await;
        let from = match number % 4 {
            0 => None,
            1 => Some(head),
            _ => {
                let back = |place: Place| crate::Position(random.below(place.position.0 as usize + 1) as u64);
                Some(Checkpoint::new(head.iter().map(back).collect::<Vec<_>>(), head.epoch()))
            }
        };
        let batch_max = [1, 3, 512][number % 3];
        // Heartbeats among the deliveries, now and then.
        let heartbeat = Duration::from_millis([5, 5_000][number % 2]);
        let subscribe = Subscribe { after: from, batch_max, heartbeat, ..Subscribe::default() };
        let (client, mut done, caught_up) = (trial.client(), done.subscribe(), Arc::clone(&caught_up));
        followers.push(tokio::spawn(async move {
            let mut follow = client.follow(subscribe).await;
            let began = follow.at.clone();
            let mut taken = Vec::new();
            let mut is_caught_up = false;
            loop {
                let end = done.borrow_and_update().clone();
                if let Some(end) = end {
                    taken.extend(follow.until(&end).await);
                    return (began, taken);
                }
                tokio::select! {
                    _ = done.changed() => {}
                    delivery = follow.next() => {
                        match delivery {
                            Delivery::Events { events, .. } => taken.extend(events),
                            Delivery::CaughtUp { .. } if !is_caught_up => {
                                is_caught_up = true;
                                caught_up.fetch_add(1, Ordering::SeqCst);
                            }
                            _ => {}
                        }
                    }
                }
            }
        }));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    join(writers).await;
    // Nobody writes, so everybody arrives at the head; then all of them are live when more comes.
    let paused = Instant::now();
    while caught_up.load(Ordering::SeqCst) < followers.len() {
        let who = caught_up.load(Ordering::SeqCst);
        let all = followers.len();
        assert!(
            paused.elapsed() < trial.patience,
            "expected {all} subscriptions to catch up once nobody writes: {who}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    join(write()).await;
    done.send_replace(Some(trial.head().await));
    let log = trial.log().await;
    for (began, taken) in join(followers).await {
        assert_eq!(sorted(&taken), after(&log, &began), "from {began}: expected every event after it, each once");
    }
}

pub(super) async fn a_subscription_resumes_from_any_checkpoint(trial: &Trial<'_>) {
    for number in 0..9 {
        trial.write(&format!("account-{}", number % 4), 1 + number % 3).await;
    }
    let (head, log) = (trial.head().await, trial.log().await);
    for batch_max in [1, 4] {
        let mut follow = trial.follow(Subscribe { batch_max, ..Subscribe::default() }).await;
        let mut taken = Vec::new();
        while !follow.at.covers(&head) {
            if let Delivery::Events { events, .. } = follow.next().await {
                taken.extend(events);
            }
            let at = follow.at.clone();
            let mut resumed = trial.follow(Subscribe { after: Some(at.clone()), ..Subscribe::default() }).await;
            let rest = resumed.until(&head).await;
            let all = sorted(taken.iter().chain(&rest));
            assert_eq!(all, sorted(&log), "resumed at {at}: expected what was taken and the rest to be the log");
        }
    }
}

pub(super) async fn a_subscription_says_when_it_caught_up(trial: &Trial<'_>) {
    for number in 0..5 {
        trial.write(&format!("account-{number}"), 2).await;
    }
    let head = trial.head().await;
    for batch_max in [1, 512] {
        let mut follow = trial.follow(Subscribe { batch_max, ..Subscribe::default() }).await;
        let events = follow.until_caught_up().await;
        assert_eq!(events.len(), 10, "expected every event before the caught-up mark");
        assert_eq!(follow.at, head, "expected the caught-up mark to stand at the head");
    }
    let mut follow = trial.follow(Subscribe { after: Some(head.clone()), ..Subscribe::default() }).await;
    assert_eq!(follow.until_caught_up().await, [] as [Event; 0], "expected no event for a reader at the head");
    assert_eq!(follow.at, head, "expected the caught-up mark to stand at the head");
}

pub(super) async fn a_subscription_at_the_head_sees_only_what_is_new(trial: &Trial<'_>) {
    trial.write("account-42", 5).await;
    let mut follow = trial.follow(Subscribe { after: Some(trial.head().await), ..Subscribe::default() }).await;
    // Started and not yet polled, while more comes.
    let mut sent = Vec::new();
    for number in 0..trial.scaled(10) {
        let events = trial.events(1 + number % 2);
        sent.extend(events.iter().map(|event| event.id));
        trial.accepted(Append::to(stream("account-42"), ExpectedVersion::Any, events)).await;
        if number >= 2 {
            let missing = sent.len();
            let got = ids(&follow.take(missing).await);
            assert_eq!(got, sent, "expected what is new, in order");
            sent.clear();
        }
        if number == 2 && !follow.caught_up {
            // From here on it is live: what follows must come over the hand-over, too.
            assert_eq!(follow.until_caught_up().await, [] as [Event; 0], "expected nothing twice");
        }
    }
    let beat = Duration::from_millis(20);
    let mut late =
        trial.follow(Subscribe { after: Some(trial.head().await), heartbeat: beat, ..Subscribe::default() }).await;
    late.until_caught_up().await;
    match late.next().await {
        Delivery::Heartbeat { checkpoint, head } => assert_eq!(checkpoint, head, "expected a reader at the head"),
        other => panic!("expected nothing but a heartbeat when nothing is new, got {other:?}"),
    }
}

pub(super) async fn a_subscription_filters(trial: &Trial<'_>) {
    let writes = |count: usize| async move {
        for number in 0..count {
            let kind = ["Opened", "Noted", "Closed"][number % 3];
            let name = stream(format!("{}-{}", ["account", "order"][number % 2], number % 4));
            trial.accepted(Append::to(name, ExpectedVersion::Any, vec![trial.event(kind)])).await;
        }
    };
    let filter = Filter {
        types: vec![event_type("Opened"), event_type("Closed")],
        stream_prefix: Some("account-".to_owned()),
        ..Filter::default()
    };
    writes(18).await;
    let mut follow = trial.follow(Subscribe { filter: filter.clone(), batch_max: 2, ..Subscribe::default() }).await;
    let mut taken = follow.until_caught_up().await;
    writes(18).await;
    let expected = trial.log_after(None, filter, 100).await;
    taken.extend(follow.take(expected.len() - taken.len()).await);
    assert_eq!(sorted(&taken), sorted(&expected), "expected stored and live events by the same filter");
}

pub(super) async fn a_heartbeat_carries_progress(trial: &Trial<'_>) {
    trial.write("account-42", 3).await;
    let filter = Filter { types: vec![event_type("Never")], ..Filter::default() };
    let heartbeat = Duration::from_millis(20);
    let mut follow = trial.follow(Subscribe { filter, heartbeat, ..Subscribe::default() }).await;
    for _ in 0..3 {
        trial.write("order-7", 2).await;
        let head = trial.head().await;
        loop {
            // What was on its way when the events were stored may not know them yet; what follows must.
            match follow.next().await {
                Delivery::Heartbeat { checkpoint, head: told } if told.covers(&head) && checkpoint.covers(&head) => {
                    break;
                }
                Delivery::Events { events, .. } => panic!("expected nothing to match, got {events:?}"),
                _ => {}
            }
        }
    }
}

pub(super) async fn a_heartbeat_comes_though_others_write(trial: &Trial<'_>) {
    // What others write wakes the loop all the time; a reader whose filter matches none of it must hear something still.
    let filter = Filter { types: vec![event_type("Never")], ..Filter::default() };
    let heartbeat = Duration::from_millis(100);
    let mut follow = trial.follow(Subscribe { filter, heartbeat, ..Subscribe::default() }).await;
    follow.until_caught_up().await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (client, stop) = (trial.client(), Arc::clone(&stop));
        tokio::spawn(async move {
            let began = Instant::now();
            while !stop.load(Ordering::Relaxed) && began.elapsed() < Duration::from_secs(3) {
                client.write("noise-1", 1).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            !stop.load(Ordering::Relaxed)
        })
    };
    let delivery = follow.next().await;
    stop.store(true, Ordering::Relaxed);
    assert!(matches!(delivery, Delivery::Heartbeat { .. }), "expected a heartbeat, got {delivery:?}");
    let wrote_all_the_time = join(vec![writer]).await[0];
    assert!(!wrote_all_the_time, "expected a heartbeat every {heartbeat:?}, none came in 3 s while others wrote");
}

pub(super) async fn a_slow_subscriber_slows_only_itself(trial: &Trial<'_>) {
    let mut slow = trial.follow(Subscribe { batch_max: 5, ..Subscribe::default() }).await;
    slow.until_caught_up().await;
    let mut quick = trial.follow(Subscribe::default()).await;
    quick.until_caught_up().await;
    let mut sent = 0;
    for number in 0..trial.scaled(20) {
        // Kilobytes, so that whatever an engine keeps between itself and a reader fills up.
        let events = trial
            .events(20)
            .into_iter()
            .map(|event| crate::NewEvent { data: crate::Payload::Binary(vec![7; 4_096].into()), ..event });
        let name = stream(format!("account-{}", number % 3));
        let answer = trial.accepted(Append::to(name, ExpectedVersion::Any, events.collect())).await;
        sent += 20;
        let mut partition_only = quick.at.clone();
        let last = answer.last_position.max(partition_only.position(answer.partition));
        partition_only.advance(answer.partition, last);
        assert_eq!(quick.until(&partition_only).await.len(), 20, "expected a quick reader to have it at once");
    }
    let head = trial.head().await;
    let taken = slow.until(&head).await;
    assert_eq!(taken.len(), sent, "expected a slow reader to get everything in the end");
    assert_eq!(sorted(&taken), sorted(&trial.log().await), "expected a slow reader to get each event once");
}

pub(super) async fn a_checkpoint_of_another_store_starts_no_subscription(trial: &Trial<'_>) {
    trial.write("account-42", 3).await;
    for (what, after) in wrong_checkpoints(&trial.head().await) {
        // A store says it at once, a connection with the first delivery.
        let refused = match trial.store.subscribe(Subscribe { after: Some(after), ..Subscribe::default() }).await {
            Err(error) => error,
            Ok(mut deliveries) => match tokio::time::timeout(trial.patience, deliveries.next()).await {
                Ok(Some(Err(error))) => error,
                other => panic!("expected a checkpoint {what} to be refused, got {other:?}"),
            },
        };
        match refused {
            ReadError::Invalid { field, .. } => assert_eq!(field, "after", "expected a checkpoint {what} named"),
            other => panic!("expected a checkpoint {what} to be refused as invalid, got {other:?}"),
        }
    }
}
