//! Reading pages: of a stream, of the log, of the list of streams.

use std::collections::BTreeSet;

use super::client::{Event, event_type, ids, stream};
use super::trial::Trial;
use crate::append::{Append, ExpectedVersion};
use crate::place::{Checkpoint, Epoch, Position, Version};
use crate::store::{Direction, Filter, PayloadChoice, ReadError, ReadLog, ReadStream, StreamPage};
use crate::subscription::{Delivery, Subscribe};

pub(super) async fn an_empty_store_reads_as_empty(trial: &Trial<'_>) {
    let start = Checkpoint::start(trial.partitions, Epoch::FIRST);
    assert_eq!(trial.head().await, start, "expected the head of an empty store to be its start");
    assert_eq!(trial.log().await, [] as [Event; 0], "expected no events");
    assert_eq!(trial.log_after(Some(start), Filter::default(), 1).await, [] as [Event; 0], "expected no events");
    assert_eq!(trial.list(None, None, 10).await, [], "expected no streams");
    assert_eq!(trial.tracked("nobody").await, None, "expected no consumer");
    let mut follow = trial.follow(Subscribe::default()).await;
    assert_eq!(follow.until_caught_up().await, [] as [Event; 0], "expected a subscription to catch up with nothing");
}

/// A stream of seven events among others.
async fn seven(trial: &Trial<'_>) -> Vec<Event> {
    for count in [2, 1, 3, 1] {
        trial.write("account-42", count).await;
        trial.write("account-4", 1).await;
        trial.write("account-421", 1).await;
    }
    let events = trial.stream_events("account-42").await;
    let versions: Vec<u64> = events.iter().map(|event| event.version.0).collect();
    assert_eq!(versions, (0..7).collect::<Vec<_>>(), "expected all versions of the stream");
    events
}

/// Holds a page to the contract: the events from `first` on in steps of `step`, at most `limit`, and where to go on.
fn check_page(said: &str, page: &StreamPage, stream: &[Event], first: Option<u64>, step: i64, limit: usize) {
    assert_eq!(page.version, Version(6), "{said}: expected the stream's version");
    let mut at = first.filter(|first| *first < 7);
    for event in &page.events {
        let expected = at.unwrap_or_else(|| panic!("{said}: expected no more events, got {event:?}"));
        assert_eq!(*event, stream[expected as usize], "{said}: expected version {expected} next");
        at = expected.checked_add_signed(step).filter(|next| *next < 7);
    }
    assert!(page.events.len() <= limit, "{said}: expected no more than {limit} events");
    assert!(first.is_none_or(|first| first >= 7) || !page.events.is_empty(), "{said}: expected at least one event");
    assert_eq!(page.next, at.map(Version), "{said}: expected where to go on");
}

pub(super) async fn a_stream_reads_forward_from_everywhere(trial: &Trial<'_>) {
    let stream = seven(trial).await;
    let froms = (0..9).chain([1_000_000, u64::MAX >> 1]).map(Some).chain([None]);
    for from in froms {
        for limit in [1, 2, 3, 7, 8, 1_000] {
            let said = format!("forward from {from:?}, at most {limit}");
            let page = trial.page("account-42", from, Direction::Forward, limit, PayloadChoice::All).await;
            check_page(&said, &page, &stream, Some(from.unwrap_or(0)), 1, limit);
        }
    }
    for limit in 1..4 {
        let (mut all, mut from) = (Vec::new(), None);
        loop {
            let page = trial.page("account-42", from, Direction::Forward, limit, PayloadChoice::All).await;
            all.extend(page.events);
            let Some(next) = page.next else { break };
            from = Some(next.0);
        }
        assert_eq!(ids(&all), ids(&stream), "expected pages of {limit} to cover the stream once");
    }
}

pub(super) async fn a_stream_reads_backward_from_everywhere(trial: &Trial<'_>) {
    let stream = seven(trial).await;
    for from in (0..9).chain([1_000_000, u64::MAX >> 1]).map(Some).chain([None]) {
        for limit in [1, 2, 3, 7, 8, 1_000] {
            let said = format!("backward from {from:?}, at most {limit}");
            let page = trial.page("account-42", from, Direction::Backward, limit, PayloadChoice::All).await;
            check_page(&said, &page, &stream, Some(from.unwrap_or(6).min(6)), -1, limit);
        }
    }
    for limit in 1..4 {
        let (mut all, mut from) = (Vec::new(), None);
        loop {
            let page = trial.page("account-42", from, Direction::Backward, limit, PayloadChoice::All).await;
            all.extend(page.events);
            let Some(next) = page.next else { break };
            from = Some(next.0);
        }
        all.reverse();
        assert_eq!(ids(&all), ids(&stream), "expected pages of {limit} to cover the stream once");
    }
}

pub(super) async fn a_page_is_bounded_in_bytes(trial: &Trial<'_>) {
    let bytes_max = trial.limits.page_bytes_max;
    let size = (bytes_max / 4 + 1).min(trial.limits.event_bytes_max);
    // The last event may be the one that goes over; whatever its size, a page holds one.
    let check = |way: &str, events: &[Event]| {
        let bytes: usize = events.iter().rev().skip(1).map(|event| event.data.len()).sum();
        assert!(bytes < bytes_max, "{way}: expected a page of at most {bytes_max} bytes and an event, got {bytes}");
    };
    let mut live = trial.follow(Subscribe::default()).await;
    live.until_caught_up().await;
    for number in 0..9 {
        let name = if number < 6 { "large-1".to_owned() } else { format!("large-{number}") };
        let data = crate::Payload::Binary(vec![number; size].into());
        let event = crate::NewEvent { data, ..trial.event("Noted") };
        trial.accepted(Append::to(stream(name), ExpectedVersion::Any, vec![event])).await;
    }
    for direction in [Direction::Forward, Direction::Backward] {
        let (mut count, mut from) = (0, None);
        loop {
            let page = trial.page("large-1", from, direction, 1_000, PayloadChoice::All).await;
            check("read_stream", &page.events);
            count += page.events.len();
            let Some(next) = page.next else { break };
            from = Some(next.0);
        }
        assert_eq!(count, 6, "{direction:?}: expected bounded pages to cover the stream");
    }
    let (filter, payload) = (Filter::default(), PayloadChoice::All);
    let read = ReadLog { after: None, filter, limit: 1_000, payload };
    let page = trial.store.read_log(read).await.unwrap_or_else(|error| panic!("expected a page: {error}"));
    check("read_log", &page.events);
    assert_eq!(trial.log().await.len(), 9, "expected bounded pages to cover the log");
    let head = trial.head().await;
    let behind = trial.follow(Subscribe::default()).await;
    for (way, mut follow) in [("live", live), ("catching up", behind)] {
        let mut count = 0;
        while !follow.at.covers(&head) {
            if let Delivery::Events { events, .. } = follow.next().await {
                check(way, &events);
                count += events.len();
            }
        }
        assert_eq!(count, 9, "{way}: expected bounded deliveries to cover the log");
    }
}

pub(super) async fn a_stream_that_is_not_there_is_not_found(trial: &Trial<'_>) {
    trial.write("account-42", 2).await;
    for name in ["account-4", "account-43", "account", "account-", "Account-42", "account-42 ", "42"] {
        assert_eq!(trial.info(name).await, None, "expected nothing to be known of `{name}`");
        for direction in [Direction::Forward, Direction::Backward] {
            let (limit, payload) = (10, PayloadChoice::All);
            let read = ReadStream { stream: stream(name), from: None, direction, limit, payload };
            match trial.store.read_stream(read).await {
                Err(ReadError::StreamNotFound { stream: missing }) => assert_eq!(missing.as_str(), name),
                other => panic!("expected that there is no stream `{name}`, got {other:?}"),
            }
        }
    }
}

pub(super) async fn the_log_reads_after_every_checkpoint(trial: &Trial<'_>) {
    for number in 0..12 {
        trial.write(&format!("account-{}", number % 5), 1 + number % 3).await;
    }
    let log = trial.log().await;
    let head = trial.head().await;
    let mut random = trial.random(1);
    let mut points: Vec<Checkpoint> = vec![Checkpoint::start(trial.partitions, head.epoch()), head.clone()];
    for event in &log {
        // Just behind this event in its partition, anywhere in the others.
        let positions = head.iter().map(|place| {
            let is_here = place.partition == event.partition;
            if is_here { event.position } else { Position(random.below(place.position.0 as usize + 1) as u64) }
        });
        points.push(Checkpoint::new(positions.collect::<Vec<_>>(), head.epoch()));
    }
    for after in points {
        let expected: Vec<_> =
            log.iter().filter(|event| event.position > after.position(event.partition)).map(|event| event.id).collect();
        for limit in [1, 2, 5, 1_000] {
            let mut read = trial.log_after(Some(after.clone()), Filter::default(), limit).await;
            // Pages may take partitions in turn; within one, `log_after` has checked the order.
            read.sort_by_key(|event| event.place());
            let mut expected = expected.clone();
            expected.sort_by_key(|id| log.iter().find(|event| event.id == *id).map(|event| event.place()));
            assert_eq!(ids(&read), expected, "expected every event after {after} once, in pages of {limit}");
        }
    }
}

pub(super) async fn streams_are_listed_by_category_and_prefix(trial: &Trial<'_>) {
    let names = [
        "account-2",
        "order-1",
        "account-10",
        "account-1",
        "accounts-1",
        "account",
        "acc%unt-1",
        "acc_unt-1",
        "order-10",
        "Account-1",
        "order-2",
        "konto-ä1",
        "konto-ä2",
        "konto-a",
        "account-1-2",
    ];
    for name in names {
        let event = trial.event("Opened");
        trial.accepted(Append::to(stream(name), ExpectedVersion::None, vec![event])).await;
    }
    // A second event moves no stream in the list.
    trial.write("account-2", 2).await;
    let kinds = [None, Some("account"), Some("order"), Some("acc_unt"), Some("konto"), Some("Account"), Some("none")];
    let prefixes =
        [None, Some("account-1"), Some("acc"), Some("acc%"), Some("acc_"), Some("konto-ä"), Some("order-1"), Some("z")];
    for kind in kinds {
        for prefix in prefixes {
            let expected: Vec<&str> = names
                .into_iter()
                .filter(|name| kind.is_none_or(|kind| stream(*name).category() == kind))
                .filter(|name| prefix.is_none_or(|prefix| name.starts_with(prefix)))
                .collect();
            for limit in [1, 2, 100] {
                let listed = trial.list(kind, prefix, limit).await;
                let said = format!("category {kind:?}, prefix {prefix:?}, pages of {limit}");
                let listed: Vec<&str> = listed.iter().map(|info| info.stream.as_str()).collect();
                let set: BTreeSet<&str> = listed.iter().copied().collect();
                assert_eq!(set, expected.iter().copied().collect(), "{said}: expected the streams that match");
                assert_eq!(listed.len(), expected.len(), "{said}: expected each once");
                if trial.partitions == 1 {
                    assert_eq!(listed, expected, "{said}: expected them in the order in which they began");
                }
            }
        }
    }
    let info = trial.list(Some("account"), Some("account-2"), 10).await;
    assert_eq!(info[0].version, Version(2), "expected the list to carry each stream's version");
}

/// Checkpoints no reader of this store can have, with a word for each.
pub(super) fn wrong_checkpoints(head: &Checkpoint) -> Vec<(&'static str, Checkpoint)> {
    let epoch = head.epoch();
    let positions: Vec<Position> = head.iter().map(|place| place.position).collect();
    let mut wrong = vec![
        ("of more partitions", Checkpoint::new(positions.iter().copied().chain([Position(0)]), epoch)),
        ("of a later epoch", head.clone().in_epoch(Epoch(epoch.0 + 1))),
    ];
    if positions.len() > 1 {
        wrong.push(("of fewer partitions", Checkpoint::new(positions[1..].iter().copied(), epoch)));
    }
    for index in 0..positions.len() {
        for ahead in [1, 1_000_000] {
            let mut past = positions.clone();
            past[index] = past[index].plus(ahead);
            wrong.push(("past the head", Checkpoint::new(past, epoch)));
        }
    }
    wrong
}

pub(super) async fn a_checkpoint_of_another_store_is_refused(trial: &Trial<'_>) {
    trial.write("account-42", 3).await;
    for (what, after) in wrong_checkpoints(&trial.head().await) {
        let read = ReadLog { after: Some(after), filter: Filter::default(), limit: 10, payload: PayloadChoice::All };
        match trial.store.read_log(read).await {
            Err(ReadError::Invalid { field, .. }) => assert_eq!(field, "after", "expected a checkpoint {what} named"),
            other => panic!("expected a checkpoint {what} to be refused, got {other:?}"),
        }
    }
    let filter = Filter { types: vec![event_type("Noted")], ..Filter::default() };
    assert_eq!(trial.log_after(None, filter, 10).await.len(), 3, "expected good checkpoints to go on as before");
}
