//! One stream as of a moment: its version then, and what its events come to when they are merged in order.

use std::collections::BTreeMap;

use pacioli_core::{Direction, EventStore, PayloadChoice, ReadError, ReadStream, RecordedEvent, StreamName, Version};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::engine::Moment;

/// Events of one page.
const PAGE_EVENTS: usize = 1_000;

/// What a stream's events come to.
#[derive(Debug, serde::Serialize)]
pub struct StreamState {
    /// The stream.
    pub stream: String,
    /// The version of the last event that counts.
    pub version: u64,
    /// Their data, merged.
    pub state: Merged,
    /// How many events count.
    pub events: u64,
}

/// JSON objects merged in order, by the rules of JSON Merge Patch (RFC 7396): a member takes the place of the one before,
/// objects are merged member by member, and `null` takes a member away. Values keep their bytes, and so all digits.
#[derive(Debug)]
pub struct Merged(Node);

#[derive(Debug)]
enum Node {
    Object(BTreeMap<String, Node>),
    Other(Box<RawValue>),
}

impl Default for Merged {
    fn default() -> Merged {
        Merged(Node::Object(BTreeMap::new()))
    }
}

impl Merged {
    /// Merges one more document. What is no object has no members and changes nothing.
    pub fn merge(&mut self, document: &[u8]) {
        if let Ok(patch) = serde_json::from_slice::<&RawValue>(document)
            && patch.get().starts_with('{')
        {
            self.0.merge(patch);
        }
    }
}

impl Node {
    fn merge(&mut self, patch: &RawValue) {
        let Some(members) = members(patch) else {
            *self = Node::Other(patch.to_owned());
            return;
        };
        if !matches!(self, Node::Object(_)) {
            *self = Node::Object(BTreeMap::new());
        }
        let Node::Object(object) = self else { return };
        for (name, value) in members {
            if value.get() == "null" {
                object.remove(&name);
            } else {
                object.entry(name).or_insert_with(|| Node::Object(BTreeMap::new())).merge(value);
            }
        }
    }
}

/// The members of an object; `None` where it is none.
fn members(document: &RawValue) -> Option<Members<'_>> {
    if !document.get().starts_with('{') {
        return None;
    }
    serde_json::from_str(document.get()).ok()
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

impl Serialize for Merged {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Object(members) => members.serialize(serializer),
            Node::Other(value) => value.serialize(serializer),
        }
    }
}

/// What the stream's events come to that were there at a moment; `None` is now. One whose events are all later is not found.
///
/// # Errors
/// There is no such stream, or was none then; or the storage failed.
pub async fn stream_state(
    store: &dyn EventStore,
    stream: &StreamName,
    as_of: Option<&Moment>,
) -> Result<StreamState, ReadError> {
    let mut state = Merged::default();
    let (mut version, mut events) = (None, 0);
    let mut from = None;
    'pages: loop {
        let read = ReadStream {
            stream: stream.clone(),
            from,
            direction: Direction::Forward,
            limit: PAGE_EVENTS,
            payload: PayloadChoice::All,
        };
        let page = store.read_stream(read).await?;
        for event in &page.events {
            match as_of {
                Some(moment) if !moment.includes(event) => match moment {
                    // By business time a later event may have occurred earlier.
                    Moment::Occurred(_) => continue,
                    Moment::Recorded(_) | Moment::At(_) => break 'pages,
                },
                _ => {}
            }
            if event.data.is_json() {
                state.merge(event.data.bytes());
            }
            version = Some(event.version);
            events += 1;
        }
        let Some(next) = page.next else { break };
        from = Some(next);
    }
    let version = version.ok_or_else(|| ReadError::StreamNotFound { stream: stream.clone() })?;
    Ok(StreamState { stream: stream.to_string(), version: version.0, state, events })
}

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
    let Some(info) = store.stream(stream).await? else {
        return Err(ReadError::StreamNotFound { stream: stream.clone() });
    };
    // What is recorded later lies behind it: everything below `known` was there, nothing from `beyond` on.
    let (mut known, mut beyond) = (0, info.version.0 + 1);
    let mut probe = info.version.0;
    while known < beyond {
        match event_at(store, stream, Version(probe)).await? {
            Some(event) if moment.includes(&event) => known = probe + 1,
            _ => beyond = probe,
        }
        probe = known + (beyond - known) / 2;
    }
    Ok(known.checked_sub(1).map(Version))
}

async fn event_at(
    store: &dyn EventStore,
    stream: &StreamName,
    version: Version,
) -> Result<Option<std::sync::Arc<RecordedEvent>>, ReadError> {
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use futures::future::BoxFuture;
    use pacioli_core::memory::MemoryStore;
    use pacioli_core::{Append, Clock, EventId, EventType, ExpectedVersion, Limits, NewEvent, Timestamp};

    use super::*;

    fn merged(documents: &[&str]) -> String {
        let mut merged = Merged::default();
        documents.iter().for_each(|document| merged.merge(document.as_bytes()));
        serde_json::to_string(&merged).expect("it is JSON")
    }

    #[test]
    fn documents_are_merged_as_rfc_7396_says() {
        assert_eq!(merged(&[]), "{}");
        assert_eq!(
            merged(&[r#"{"a":1.50,"b":2}"#, r#"{"b":12345678901234567890}"#]),
            r#"{"a":1.50,"b":12345678901234567890}"#
        );
        assert_eq!(
            merged(&[r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"c":null,"d":[1,null]}}"#]),
            r#"{"a":{"b":1,"d":[1,null]}}"#
        );
        assert_eq!(merged(&[r#"{"a":1}"#, r#"{"a":{"b":null,"c":{"d":null}}}"#]), r#"{"a":{"c":{}}}"#);
        assert_eq!(merged(&[r#"{"a":{"b":1}}"#, r#"{"a":[2]}"#, r#"{"x":null}"#]), r#"{"a":[2]}"#);
        assert_eq!(merged(&[r#" {"a":1} "#, "3", "[1]", "null", "", r#"{"a":"ü"}"#]), r#"{"a":"ü"}"#);
    }

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

    #[tokio::test]
    async fn a_state_is_told_as_of_any_moment() {
        let (store, stream) = ten_events().await;
        let state = async |as_of: Option<Moment>| {
            let state = stream_state(&store, &stream, as_of.as_ref()).await?;
            Ok::<_, ReadError>(serde_json::to_value(&state).expect("it is JSON"))
        };
        let now = state(None).await.expect("it is read");
        assert_eq!((&now["version"], &now["events"], &now["state"]["last"]), (&9.into(), &10.into(), &9.into()));
        let then = state(Some("1970-01-01T00:00:03Z".parse().expect("a moment"))).await.expect("it is read");
        assert_eq!(
            (&then["version"], &then["state"]["last"], &then["state"]["n4"]),
            (&3.into(), &3.into(), &serde_json::Value::Null)
        );
        let occurred = Moment::Occurred(Timestamp::from_micros(-98_000_000));
        let business = state(Some(occurred)).await.expect("it is read");
        assert_eq!(
            (&business["version"], &business["events"], &business["state"]["n6"]),
            (&9.into(), &3.into(), &serde_json::Value::Null)
        );
        let before = state(Some(Moment::At("0:0".parse().expect("a checkpoint")))).await;
        assert!(matches!(before, Err(ReadError::StreamNotFound { .. })));
    }
}
