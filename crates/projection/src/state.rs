//! The state of one stream: its events merged in order, for callers whose only read is "the aggregate by its id".

use std::collections::HashMap;
use std::fmt;

use pacioli_core::decide::checkpoint_at;
use pacioli_core::event::RecordedEvent;
use pacioli_core::place::{Checkpoint, Version};
use pacioli_core::store::Filter;
use pacioli_core::{
    Direction, EventStore, Payload, PayloadChoice, ReadError, ReadLog, ReadStream, StreamName, Timestamp,
};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::engine::Moment;

/// Events of one page.
const PAGE: usize = 500;

/// A stream's events, merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// The version of the last event in it; `None` where none had happened by then.
    pub version: Option<Version>,
    /// How many events were merged; fewer than the version says where some had not occurred by then.
    pub events: u64,
    /// One JSON object: each member with the value that the last event gave it, written as in that event, in the order in
    /// which members first appeared.
    pub state: String,
    /// Where the last event in it lies: a reader that has come there has seen all of it.
    pub checkpoint: Option<Checkpoint>,
}

/// Merges the events of a stream, in order, up to a moment.
///
/// The members of each event's data, at the top level, replace those of earlier events: the whole value, nested objects
/// too. `null` is a value like any other and stays, so that "not there" and "nothing" can be told apart. Data that is no
/// JSON object counts as an event and changes nothing. Up to a moment means: recorded by then, or not behind the
/// checkpoint, or occurred by then (events that say no time occurred when they were recorded), whatever was recorded in
/// between.
///
/// One page of events is held at a time, beside the state itself.
///
/// # Errors
/// There is no such stream; the checkpoint is not one of this log; the storage failed.
pub async fn stream_state(
    store: &dyn EventStore,
    stream: &StreamName,
    until: Option<&Moment>,
) -> Result<StreamState, ReadError> {
    let mut until = until.cloned();
    if let Some(Moment::At(checkpoint)) = &until {
        // The rule for a checkpoint that a reader brings; what is behind the head or was rewound is told.
        let read = ReadLog {
            after: Some(checkpoint.clone()),
            filter: Filter::default(),
            limit: 1,
            payload: PayloadChoice::None,
        };
        until = Some(Moment::At(store.read_log(read).await?.from));
    }
    let head = store.head().await?;
    let mut merged = Merged::default();
    let mut last: Option<(Version, Checkpoint)> = None;
    let (mut events, mut from) = (0, None);
    'pages: loop {
        let read = ReadStream {
            stream: stream.clone(),
            from,
            direction: Direction::Forward,
            limit: PAGE,
            payload: PayloadChoice::All,
        };
        let page = store.read_stream(read).await?;
        for event in &page.events {
            match until.as_ref().map_or(Taken::In, |until| taken(until, event)) {
                Taken::In => {}
                Taken::Out => continue,
                Taken::OutFromHereOn => break 'pages,
            }
            events += 1;
            let place = checkpoint_at(event.partition, event.position, head.partitions(), head.epoch());
            last = Some((event.version, place));
            if let Payload::Json(json) = &event.data {
                merged.take(json);
            }
        }
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    let (version, checkpoint) = last.unzip();
    Ok(StreamState { version, events, state: merged.to_string(), checkpoint })
}

/// Whether an event counts.
enum Taken {
    In,
    Out,
    OutFromHereOn,
}

fn taken(until: &Moment, event: &RecordedEvent) -> Taken {
    let is_in = match until {
        // Neither times of recording nor positions run backwards in a stream, which lies in one partition.
        Moment::Recorded(time) if event.recorded_at > *time => return Taken::OutFromHereOn,
        Moment::At(checkpoint) if event.position > checkpoint.position(event.partition) => {
            return Taken::OutFromHereOn;
        }
        Moment::Recorded(_) | Moment::At(_) => true,
        Moment::Occurred(time) => occurred_at(event) <= *time,
    };
    if is_in { Taken::In } else { Taken::Out }
}

fn occurred_at(event: &RecordedEvent) -> Timestamp {
    event.occurred_at.unwrap_or(event.recorded_at)
}

/// Members in the order in which they first appeared, each with its last value as it was written.
#[derive(Default)]
struct Merged {
    members: Vec<(String, Box<RawValue>)>,
    places: HashMap<String, usize>,
}

impl Merged {
    /// Takes the members of an object; of anything else, nothing.
    fn take(&mut self, json: &[u8]) {
        if json.trim_ascii_start().first() == Some(&b'{') {
            // The log holds only JSON that was checked at its door.
            let _ = serde_json::Deserializer::from_slice(json).deserialize_map(self);
        }
    }

    fn set(&mut self, name: String, value: Box<RawValue>) {
        match self.places.get(&name) {
            Some(&place) => self.members[place].1 = value,
            None => {
                self.places.insert(name.clone(), self.members.len());
                self.members.push((name, value));
            }
        }
    }
}

impl<'de> Visitor<'de> for &mut Merged {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some((name, value)) = members.next_entry::<String, Box<RawValue>>()? {
            self.set(name, value);
        }
        Ok(())
    }
}

impl fmt::Display for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (place, (name, value)) in self.members.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(f, "{comma}{}:{}", serde_json::Value::from(name.as_str()), value.get())?;
        }
        f.write_str("}")
    }
}
