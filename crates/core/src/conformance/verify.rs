//! What holds of every log at any time, and so after every check.

use std::collections::{HashMap, HashSet};

use super::client::{Client, Event, ids};
use crate::names::StreamName;
use crate::place::{Checkpoint, Epoch, Version};

/// No gap in positions and versions, nothing twice, time not running backwards, and the log, the streams and the list
/// of streams telling the same story.
pub(super) async fn verify(client: &Client) {
    let head = client.head().await;
    let log = client.log().await;
    let mut at = Checkpoint::start(client.partitions, Epoch::FIRST);
    let mut streams: HashMap<StreamName, Vec<Event>> = HashMap::new();
    let mut known = HashSet::new();
    let mut last: HashMap<_, &Event> = HashMap::new();
    for event in &log {
        let place = event.place();
        let expected = at.position(place.partition).next();
        assert_eq!(
            place.position, expected,
            "after the check: expected positions without a gap in {}",
            place.partition
        );
        at.advance(place.partition, place.position);
        assert_eq!(
            place.partition,
            event.stream.partition(client.partitions),
            "after the check: expected `{}` in the partition its key names",
            event.stream
        );
        assert!(known.insert(event.id), "after the check: expected each event once, {} is there twice", event.id);
        if let Some(before) = last.insert(place.partition, event) {
            assert!(
                before.recorded_at <= event.recorded_at,
                "after the check: expected recorded_at not to run backwards at {place}"
            );
        }
        let of_stream = streams.entry(event.stream.clone()).or_default();
        let expected = Version(of_stream.len() as u64);
        assert_eq!(event.version, expected, "after the check: expected versions without a gap in `{}`", event.stream);
        of_stream.push(event.clone());
    }
    assert!(at.covers(&head), "after the check: expected the log to reach the head {head}, it ends at {at}");
    let listed = client.list(None, None, 100).await;
    let names: HashSet<_> = listed.iter().map(|info| info.stream.clone()).collect();
    assert_eq!(names.len(), listed.len(), "after the check: expected each stream to be listed once");
    assert_eq!(
        names,
        streams.keys().cloned().collect(),
        "after the check: expected the streams of the log to be listed"
    );
    for info in listed {
        let name = info.stream.as_str();
        let events = &streams[&info.stream];
        assert_eq!(info.version.0 + 1, events.len() as u64, "after the check: expected the version of `{name}`");
        assert_eq!(info.partition, events[0].partition, "after the check: expected the partition of `{name}`");
        assert_eq!(
            client.stream_events(name).await,
            *events,
            "after the check: expected the stream `{name}` to read as the log does: {:?}",
            ids(events)
        );
    }
}
