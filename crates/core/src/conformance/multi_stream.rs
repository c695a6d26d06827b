//! Appends to several streams: all of it or none.

use super::client::{appended, conflict, duplicate, stream};
use super::trial::{Trial, join};
use crate::append::{AppendOutcome, Conflict, ExpectedVersion, StreamAppended};
use crate::place::Version;
use crate::store::{PayloadChoice, ReadLog};

pub(super) async fn several_streams_are_written_as_one(trial: &Trial<'_>) {
    trial.write("payment-7", 2).await;
    let request = trial
        .request("order-7", ExpectedVersion::None, 2)
        .and(stream("payment-7"), ExpectedVersion::Exact(Version(1)), trial.events(3))
        .and(stream("stock-7"), ExpectedVersion::Any, trial.events(1));
    let before = trial.head().await;
    let answer = trial.accepted(request.clone()).await;
    let entry = |name: &str, first: u64, last: u64| StreamAppended {
        stream: stream(name),
        first_version: Version(first),
        last_version: Version(last),
    };
    let expected = vec![entry("order-7", 0, 1), entry("payment-7", 2, 4), entry("stock-7", 0, 0)];
    assert_eq!(answer.streams, expected, "expected an entry a stream, in the order of the request");
    let first = before.position(answer.partition).next();
    assert_eq!((answer.first_position, answer.last_position), (first, first.plus(5)), "expected six positions");
    let log = trial.log_after(Some(before), crate::Filter::default(), 100).await;
    let sent =
        request.writes.iter().flat_map(|write| write.events.iter().map(|event| (write.stream.clone(), event.id)));
    let stored: Vec<_> = log.iter().map(|event| (event.stream.clone(), event.id)).collect();
    assert_eq!(stored, sent.collect::<Vec<_>>(), "expected the events in the order of the request");
}

pub(super) async fn a_conflict_in_any_stream_stores_nothing(trial: &Trial<'_>) {
    trial.write("payment-7", 2).await;
    for wrong in 0..3 {
        for expected in [ExpectedVersion::Exists, ExpectedVersion::Exact(Version(4))] {
            let names = ["order-7", "stock-7", "bill-7"];
            let mut request = trial.request("payment-7", ExpectedVersion::Exact(Version(1)), 2);
            for (index, name) in names.into_iter().enumerate() {
                let expected = if index == wrong { expected } else { ExpectedVersion::None };
                request = request.and(stream(name), expected, trial.events(1 + index));
            }
            let head = trial.head().await;
            let why = conflict(trial.append(request).await);
            let name = stream(names[wrong]);
            assert_eq!(
                why,
                Conflict::ExpectedVersion { stream: name, expected, current: None },
                "expected it to be named"
            );
            assert_eq!(trial.head().await, head, "expected a conflict in stream {} to store nothing", wrong + 2);
            assert_eq!(trial.version("payment-7").await, Some(Version(1)), "expected the first stream untouched");
            for name in names {
                assert_eq!(trial.version(name).await, None, "expected `{name}` untouched");
            }
        }
    }
}

pub(super) async fn a_retry_of_several_streams_is_recognised(trial: &Trial<'_>) {
    let request = trial.request("order-7", ExpectedVersion::None, 2).and(
        stream("payment-7"),
        ExpectedVersion::None,
        trial.events(2),
    );
    let first = trial.accepted(request.clone()).await;
    trial.write("order-7", 1).await;
    let head = trial.head().await;
    let answer = duplicate(trial.append(request.clone()).await);
    assert_eq!(crate::Appended { duplicate: false, ..answer }, first, "expected the original answer");
    for half in 0..2 {
        let mut part = request.clone();
        part.writes.remove(half);
        let answer = duplicate(trial.append(part).await);
        assert_eq!(answer.streams[0], first.streams[1 - half], "expected a part to have the versions it had");
    }
    let mut swapped = request.clone();
    swapped.writes.reverse();
    let answer = duplicate(trial.append(swapped).await);
    assert_eq!(answer.streams, [first.streams[1].clone(), first.streams[0].clone()], "expected the order asked in");
    let known: Vec<_> = request.writes.iter().flat_map(|write| write.events.iter().map(|event| event.id)).collect();
    let more = request.and(stream("stock-7"), ExpectedVersion::None, trial.events(1));
    assert_eq!(conflict(trial.append(more).await), Conflict::Ids { known }, "expected one new stream more to conflict");
    assert_eq!(trial.head().await, head, "expected none of it to store anything");
}

pub(super) async fn readers_never_see_half(trial: &Trial<'_>) {
    // Every append writes one event to each of two streams of one key.
    let rounds = trial.scaled(12);
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let client = trial.client();
        tasks.push(tokio::spawn(async move {
            for _ in 0..rounds {
                let request = client.request("debit-7", ExpectedVersion::Any, 1);
                appended(client.append(request.and(stream("credit-7"), ExpectedVersion::Any, client.events(1))).await);
            }
        }));
    }
    for reader in 0..2 {
        let client = trial.client();
        tasks.push(tokio::spawn(async move {
            let (first, second) = if reader == 0 { ("debit-7", "credit-7") } else { ("credit-7", "debit-7") };
            loop {
                let earlier = client.version(first).await;
                let later = client.version(second).await;
                assert!(later >= earlier, "expected `{second}` to be as far as `{first}` was before, got {later:?}");
                let read = ReadLog {
                    after: None,
                    filter: crate::Filter::default(),
                    limit: 4_000,
                    payload: PayloadChoice::None,
                };
                let page = client.store.read_log(read).await.unwrap_or_else(|error| panic!("expected a page: {error}"));
                let head: u64 = page.head.iter().map(|place| place.position.0).sum();
                assert!(head.is_multiple_of(2), "expected no head between the events of one append, got {}", page.head);
                if head == 3 * 2 * rounds as u64 {
                    return;
                }
            }
        }));
    }
    join(tasks).await;
    // And when a conflict races with an append, it is whole or nothing as well.
    let tasks = (0..6).map(|_| {
        let client = trial.client();
        let request = client.request("left-7", ExpectedVersion::Any, 1);
        let request = request.and(stream("right-7"), ExpectedVersion::None, client.events(1));
        tokio::spawn(async move { matches!(client.append(request).await, AppendOutcome::Appended(_)) })
    });
    let won = join(tasks.collect()).await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1, "expected one of six appends to make the second stream");
    assert_eq!(trial.version("left-7").await, Some(Version(0)), "expected the five others to leave nothing behind");
}
