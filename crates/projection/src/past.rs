//! One stream as it was at a moment.

use std::sync::Arc;

use pacioli_core::store::Filter;
use pacioli_core::{
    Direction, EventStore, PayloadChoice, ReadError, ReadLog, ReadStream, RecordedEvent, StreamName, Version,
};

use crate::engine::Moment;

/// The version that a stream had at a moment, by what was recorded until then; `None` where it had no event yet. A few
/// reads of one event each, however long the stream is.
///
/// # Errors
/// There is no such stream, or the storage failed.
pub async fn version_as_of(
    store: &dyn EventStore,
    stream: &StreamName,
    moment: &Moment,
) -> Result<Option<Version>, ReadError> {
    let moment = resolved(store, moment).await?;
    let Some(info) = store.stream(stream).await? else {
        return Err(ReadError::StreamNotFound { stream: stream.clone() });
    };
    // What is recorded later lies behind it: everything below `known` was there, nothing from `beyond` on.
    let (mut known, mut beyond) = (0, info.version.0 + 1);
    let mut probe = info.version.0;
    while known < beyond {
        match event_at(store, stream, Version(probe)).await? {
            Some(event) if includes(&moment, &event) => known = probe + 1,
            _ => beyond = probe,
        }
        probe = known + (beyond - known) / 2;
    }
    Ok(known.checked_sub(1).map(Version))
}

/// The moment with its checkpoint as this log has it: one that lies behind the head or was rewound is told, by the rule for
/// a checkpoint that a reader brings.
async fn resolved(store: &dyn EventStore, moment: &Moment) -> Result<Moment, ReadError> {
    let Moment::At(checkpoint) = moment else { return Ok(moment.clone()) };
    let after = Some(checkpoint.clone());
    let read = ReadLog { after, filter: Filter::default(), limit: 1, payload: PayloadChoice::None };
    Ok(Moment::At(store.read_log(read).await?.from))
}

/// Whether an event was there. Neither times of recording nor positions run backwards in a stream.
fn includes(moment: &Moment, event: &RecordedEvent) -> bool {
    match moment {
        Moment::Recorded(time) => event.recorded_at <= *time,
        Moment::At(checkpoint) => event.position <= checkpoint.position(event.partition),
        Moment::Occurred(time) => event.occurred_at.unwrap_or(event.recorded_at) <= *time,
    }
}

async fn event_at(
    store: &dyn EventStore,
    stream: &StreamName,
    version: Version,
) -> Result<Option<Arc<RecordedEvent>>, ReadError> {
    let read = ReadStream {
        stream: stream.clone(),
        from: Some(version),
        direction: Direction::Forward,
        limit: 1,
        payload: PayloadChoice::None,
    };
    Ok(store.read_stream(read).await?.events.into_iter().next())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use futures::future::BoxFuture;
    use pacioli_core::memory::MemoryStore;
    use pacioli_core::{Append, Clock, EventId, EventType, ExpectedVersion, Limits, NewEvent, Timestamp};

    use super::*;

    /// Each look is a second later.
    struct Seconds(AtomicI64);

    impl Clock for Seconds {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.load(Ordering::Relaxed) * 1_000_000)
        }

        fn sleep(&self, duration: std::time::Duration) -> BoxFuture<'static, ()> {
            Box::pin(tokio::time::sleep(duration))
        }
    }

    /// Events 0 to 9 of a stream, recorded at second 0 to 9, which occurred the other way round.
    async fn ten_events() -> (MemoryStore, StreamName) {
        let clock = Arc::new(Seconds(AtomicI64::new(0)));
        let store = MemoryStore::new(1, Limits::default(), Arc::clone(&clock) as Arc<dyn Clock>);
        let stream = StreamName::new("a-1").expect("a name");
        for number in 0..10 {
            clock.0.store(number, Ordering::Relaxed);
            let id = EventId(uuid::Uuid::from_u128(number as u128 + 1));
            let data = format!(r#"{{"last":{number},"n{number}":true}}"#);
            let mut event = NewEvent::json(id, EventType::new("T").expect("a type"), data);
            event.occurred_at = Some(Timestamp::from_micros((9 - number) * 1_000_000 - 100_000_000));
            let append = Append::to(stream.clone(), ExpectedVersion::Any, vec![event]);
            store.append(append).await.expect("it is stored");
        }
        (store, stream)
    }

    #[tokio::test]
    async fn a_stream_has_the_version_of_its_moment() {
        let (store, stream) = ten_events().await;
        for second in 0..12 {
            let moment = Moment::Recorded(Timestamp::from_micros(second * 1_000_000 + 1));
            let version = version_as_of(&store, &stream, &moment).await.expect("it is read");
            assert_eq!(version, Some(Version(second.min(9) as u64)));
        }
        let before = Moment::Recorded(Timestamp::from_micros(-1));
        assert_eq!(version_as_of(&store, &stream, &before).await.expect("it is read"), None);
        let at = Moment::At("0:4".parse().expect("a checkpoint"));
        assert_eq!(version_as_of(&store, &stream, &at).await.expect("it is read"), Some(Version(3)));
        let other = StreamName::new("a-2").expect("a name");
        assert!(matches!(version_as_of(&store, &other, &at).await, Err(ReadError::StreamNotFound { .. })));
    }
}
