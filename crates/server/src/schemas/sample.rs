//! Stored events of a type, for trying a new schema on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pacioli_core::{Checkpoint, EventType, Filter, PayloadChoice, Position, ReadError, ReadLog, RecordedEvent};
use tokio::time::Instant;

use super::Registry;

/// Events of each stored version at most.
const EVENTS_OF_VERSION: usize = 1_000;
/// And bytes of data: of one version, and of all.
const BYTES_OF_VERSION: usize = 4 << 20;
const BYTES: usize = 16 << 20;
/// A log of so many events is looked through from end to end; of a longer one, parts.
const WHOLE_LOG_EVENTS: u64 = 100_000;
/// The parts of a longer log, spread evenly over it, and pages of each at most.
const PARTS: u64 = 8;
const PAGES_OF_PART: usize = 16;
/// How long it may take: what was found until then has to do.
const PATIENCE: Duration = Duration::from_secs(10);

/// Events of a type as they are stored, some of every version as far as they are found.
pub(super) async fn stored(registry: &Registry, event_type: &EventType) -> Result<Vec<Arc<RecordedEvent>>, ReadError> {
    let store = registry.store();
    let head = store.head().await?;
    let length: u64 = head.iter().map(|place| place.position.0).sum();
    let (parts, pages) = if length <= WHOLE_LOG_EVENTS { (1, usize::MAX) } else { (PARTS, PAGES_OF_PART) };
    let deadline = Instant::now() + PATIENCE;
    let mut sample = Sample::default();
    for part in 0..parts {
        let at = |share: u64| {
            Checkpoint::new(head.iter().map(|place| Position(place.position.0 * share / parts)), head.epoch())
        };
        let (mut after, end) = (at(part), at(part + 1));
        for _ in 0..pages {
            if after.covers(&end) || Instant::now() >= deadline {
                break;
            }
            let read = ReadLog {
                after: Some(after),
                filter: Filter { types: vec![event_type.clone()], ..Filter::default() },
                limit: EVENTS_OF_VERSION,
                payload: PayloadChoice::All,
            };
            let page = store.read_log(read).await?;
            for event in page.events {
                if event.position <= end.position(event.partition) {
                    sample.add(event);
                }
            }
            after = page.checkpoint;
        }
    }
    Ok(sample.events)
}

#[derive(Default)]
struct Sample {
    events: Vec<Arc<RecordedEvent>>,
    /// How many events there are of each version, and bytes of data.
    of_version: HashMap<u32, (usize, usize)>,
    bytes: usize,
}

impl Sample {
    fn add(&mut self, event: Arc<RecordedEvent>) {
        let (count, bytes) = self.of_version.entry(event.schema_version).or_default();
        let length = event.data.bytes().len();
        // One event of a version is kept as long as there is room at all, however long it is.
        let is_kept = *count == 0 || *count < EVENTS_OF_VERSION && *bytes + length <= BYTES_OF_VERSION;
        if is_kept && self.bytes + length <= BYTES {
            *count += 1;
            *bytes += length;
            self.bytes += length;
            self.events.push(event);
        }
    }
}

/// Under which of these versions events of the type are stored; `None` where that was not known in time.
pub(super) async fn stored_under(
    registry: &Registry,
    event_type: &EventType,
    versions: &[u32],
) -> Result<Option<Vec<u32>>, ReadError> {
    let store = registry.store();
    let head = store.head().await?;
    let deadline = Instant::now() + PATIENCE;
    let mut after = None;
    let mut stored: Vec<u32> = Vec::new();
    loop {
        let read = ReadLog {
            after: after.take(),
            filter: Filter { types: vec![event_type.clone()], ..Filter::default() },
            limit: EVENTS_OF_VERSION,
            payload: PayloadChoice::None,
        };
        let page = store.read_log(read).await?;
        for event in &page.events {
            if versions.contains(&event.schema_version) && !stored.contains(&event.schema_version) {
                stored.push(event.schema_version);
            }
        }
        // One is enough to refuse.
        if !stored.is_empty() || page.checkpoint.covers(&head) {
            return Ok(Some(stored));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        after = Some(page.checkpoint);
    }
}

#[cfg(test)]
mod tests {
    use pacioli_core::{EventId, Metadata, Partition, Payload, RecordedEvent, StreamName, Tags, Timestamp, Version};

    use super::*;

    fn event(schema_version: u32, bytes: usize) -> Arc<RecordedEvent> {
        Arc::new(RecordedEvent {
            partition: Partition::ZERO,
            position: Position(1),
            stream: StreamName::new("a-1").unwrap(),
            version: Version(0),
            id: EventId(uuid::Uuid::nil()),
            event_type: EventType::new("E").unwrap(),
            schema_version,
            data: Payload::Json(vec![b'1'; bytes].into()),
            metadata: Metadata::default(),
            tags: Tags::default(),
            occurred_at: None,
            recorded_at: Timestamp::default(),
        })
    }

    #[test]
    fn a_sample_is_bounded_in_events_and_in_bytes() {
        let mut sample = Sample::default();
        (0..2_000).for_each(|_| sample.add(event(1, 10)));
        assert_eq!(sample.events.len(), EVENTS_OF_VERSION);
        (0..100).for_each(|_| sample.add(event(2, 1 << 20)));
        assert_eq!(sample.of_version[&2], (4, 4 << 20), "one version does not take the room of the others");
        (3..100).for_each(|version| sample.add(event(version, 5 << 20)));
        assert!(sample.bytes <= BYTES && sample.of_version[&3].0 == 1, "{}", sample.bytes);
        let count = sample.events.len();
        sample.add(event(1_000, 100));
        assert_eq!(sample.events.len(), count + 1, "what still fits is taken");
    }
}
