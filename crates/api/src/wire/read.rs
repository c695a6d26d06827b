//! Reads, subscriptions, streams and leases.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pacioli_core::{
    Category, Checkpoint, Delivery, Direction, Filter, InvalidAppend, Lease, LeaseOutcome, ListStreams, LogPage,
    Payload, PayloadChoice, RecordedEvent, StreamInfo, StreamName, StreamPage, StreamsPage, Subscribe, Timestamp,
    Version,
};

use super::append::{partition, tags, types};
use super::{EventBatch, Malformed, checkpoint, given_checkpoint, invalid_name};
use crate::fields::Fields;
use crate::generated::v1;

/// The heartbeat of a subscription that names none.
pub const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(5);
/// The shortest heartbeat: each costs a read of the storage.
pub const HEARTBEAT_MIN: Duration = Duration::from_millis(10);
/// Events of one delivery of a subscription that names no number.
pub const BATCH_DEFAULT: usize = 512;
/// Streams of one page of a listing that names no number.
pub const STREAMS_DEFAULT: usize = 100;

/// Reads what a reader wants of each event; nothing said is all.
pub fn fields(fields: Option<v1::Fields>) -> Result<Fields, InvalidAppend> {
    let pointers = match fields.and_then(|fields| fields.choice) {
        None | Some(v1::fields::Choice::All(_)) => return Ok(Fields::All),
        Some(v1::fields::Choice::None(_)) => return Ok(Fields::None),
        Some(v1::fields::Choice::Pointers(pointers)) => pointers.pointers,
    };
    let invalid = |problem: String| InvalidAppend::new("fields", problem);
    for pointer in &pointers {
        // The text form of a choice separates pointers by commas, and has words of its own.
        if !pointer.starts_with('/') || pointer.contains(',') {
            return Err(invalid("must be JSON pointers like `/owner/name`, without commas".to_owned()));
        }
    }
    pointers.join(",").parse().map_err(invalid)
}

/// The choice between all and none on the wire; all is said by saying nothing.
pub fn payload_to_wire(payload: PayloadChoice) -> Option<v1::Fields> {
    let choice = match payload {
        PayloadChoice::All => return None,
        PayloadChoice::None => v1::fields::Choice::None(v1::fields::None {}),
    };
    Some(v1::Fields { choice: Some(choice) })
}

/// Leaves of each event's data what `fields` chooses; what the store can choose by itself is left as it came.
pub fn select(events: Vec<Arc<RecordedEvent>>, fields: &Fields) -> Vec<Arc<RecordedEvent>> {
    if !matches!(fields, Fields::Pointers(_)) {
        return events;
    }
    let select = |event: Arc<RecordedEvent>| {
        let data = match &event.data {
            Payload::Json(json) => {
                let mut chosen = Vec::new();
                fields.select(json, &mut chosen);
                Payload::Json(chosen.into())
            }
            Payload::Binary(_) => Payload::Binary(Bytes::new()),
        };
        Arc::new(RecordedEvent { data, ..(*event).clone() })
    };
    events.into_iter().map(select).collect()
}

/// Reads the name of a stream that a client asks for.
pub fn stream_name(name: String) -> Result<StreamName, InvalidAppend> {
    StreamName::new(name).map_err(|error| invalid_name("stream")(error))
}

/// Reads the checkpoint a client wants to go on after.
pub fn after(after: Option<String>) -> Result<Option<Checkpoint>, InvalidAppend> {
    after.map(|after| checkpoint("after", &after)).transpose()
}

/// Reads a filter. `terms_max` bounds each of its lists.
pub fn filter(filter: Option<v1::Filter>, terms_max: usize) -> Result<Filter, InvalidAppend> {
    let Some(filter) = filter else { return Ok(Filter::default()) };
    for (name, len) in
        [("categories", filter.categories.len()), ("types", filter.types.len()), ("tags", filter.tags.len())]
    {
        if len > terms_max {
            return Err(InvalidAppend {
                over_limit: true,
                ..InvalidAppend::new(format!("filter.{name}"), format!("are {len}; at most {terms_max} are allowed"))
            });
        }
    }
    let categories =
        filter.categories.into_iter().enumerate().map(|(at, name)| {
            Category::new(name).map_err(|error| invalid_name(format!("filter.categories[{at}]"))(error))
        });
    Ok(Filter {
        categories: categories.collect::<Result<_, _>>()?,
        stream_prefix: filter.stream_prefix,
        types: types(filter.types, |at| format!("filter.types[{at}]"))?,
        tags: tags(filter.tags, |at| format!("filter.tags[{at}]"))?,
    })
}

/// A filter on the wire; an empty one is absent.
pub fn filter_to_wire(filter: &Filter) -> Option<v1::Filter> {
    (!filter.is_empty()).then(|| v1::Filter {
        categories: filter.categories.iter().map(ToString::to_string).collect(),
        stream_prefix: filter.stream_prefix.clone(),
        types: filter.types.iter().map(ToString::to_string).collect(),
        tags: filter.tags.iter().map(ToString::to_string).collect(),
    })
}

/// Reads which way a stream is to be read.
pub fn direction(direction: i32) -> Result<Direction, InvalidAppend> {
    match v1::Direction::try_from(direction) {
        Ok(v1::Direction::Unspecified | v1::Direction::Forward) => Ok(Direction::Forward),
        Ok(v1::Direction::Backward) => Ok(Direction::Backward),
        Err(_) => Err(InvalidAppend::new("direction", "is none that this server knows")),
    }
}

/// Which way, on the wire.
pub fn direction_to_wire(direction: Direction) -> v1::Direction {
    match direction {
        Direction::Forward => v1::Direction::Forward,
        Direction::Backward => v1::Direction::Backward,
    }
}

/// Reads a subscription, and what it wants of each event.
pub fn subscribe(request: v1::SubscribeRequest, terms_max: usize) -> Result<(Subscribe, Fields), InvalidAppend> {
    let fields = fields(request.fields)?;
    let subscribe = Subscribe {
        after: after(request.after)?,
        filter: filter(request.filter, terms_max)?,
        payload: fields.payload(),
        batch_max: if request.batch_max == 0 { BATCH_DEFAULT } else { request.batch_max as usize },
        heartbeat: match request.heartbeat_millis {
            0 => HEARTBEAT_DEFAULT,
            millis => Duration::from_millis(millis).max(HEARTBEAT_MIN),
        },
    };
    Ok((subscribe, fields))
}

/// A subscription on the wire.
pub fn subscribe_to_wire(subscribe: &Subscribe) -> v1::SubscribeRequest {
    v1::SubscribeRequest {
        after: subscribe.after.as_ref().map(ToString::to_string),
        filter: filter_to_wire(&subscribe.filter),
        fields: payload_to_wire(subscribe.payload),
        batch_max: u32::try_from(subscribe.batch_max.max(1)).unwrap_or(u32::MAX),
        heartbeat_millis: u64::try_from(subscribe.heartbeat.as_millis()).unwrap_or(u64::MAX).max(1),
        shape: None,
        reader: String::new(),
    }
}

/// A delivery on the wire.
pub fn delivery_to_wire(delivery: Delivery) -> v1::SubscribeResponse {
    use v1::subscribe_response::{CaughtUp, Delivery as Wire, Events, Heartbeat};
    let delivery = match delivery {
        Delivery::Events { events, from, checkpoint } => Wire::Events(Events {
            batch: Some(EventBatch::new(events)),
            from: from.to_string(),
            checkpoint: checkpoint.to_string(),
        }),
        Delivery::CaughtUp { checkpoint } => Wire::CaughtUp(CaughtUp { checkpoint: checkpoint.to_string() }),
        Delivery::Heartbeat { checkpoint, head } => {
            Wire::Heartbeat(Heartbeat { checkpoint: checkpoint.to_string(), head: head.to_string() })
        }
    };
    v1::SubscribeResponse { delivery: Some(delivery) }
}

/// A delivery as core says it.
pub fn delivery_from_wire(response: v1::SubscribeResponse) -> Result<Delivery, Malformed> {
    use v1::subscribe_response::Delivery as Wire;
    Ok(match response.delivery.ok_or_else(|| Malformed::new("a delivery of a kind unknown here"))? {
        Wire::Events(events) => Delivery::Events {
            events: events.batch.unwrap_or_default().into_events(),
            from: given_checkpoint(&events.from)?,
            checkpoint: given_checkpoint(&events.checkpoint)?,
        },
        Wire::CaughtUp(caught_up) => Delivery::CaughtUp { checkpoint: given_checkpoint(&caught_up.checkpoint)? },
        Wire::Heartbeat(heartbeat) => Delivery::Heartbeat {
            checkpoint: given_checkpoint(&heartbeat.checkpoint)?,
            head: given_checkpoint(&heartbeat.head)?,
        },
    })
}

/// A part of the log on the wire.
pub fn log_page_to_wire(page: LogPage) -> v1::ReadLogResponse {
    v1::ReadLogResponse {
        batch: Some(EventBatch::new(page.events)),
        from: page.from.to_string(),
        checkpoint: page.checkpoint.to_string(),
        head: page.head.to_string(),
    }
}

/// A part of the log as core says it.
pub fn log_page_from_wire(response: v1::ReadLogResponse) -> Result<LogPage, Malformed> {
    Ok(LogPage {
        events: response.batch.unwrap_or_default().into_events(),
        from: given_checkpoint(&response.from)?,
        checkpoint: given_checkpoint(&response.checkpoint)?,
        head: given_checkpoint(&response.head)?,
    })
}

/// A part of a stream on the wire.
pub fn stream_page_to_wire(page: StreamPage) -> v1::ReadStreamResponse {
    v1::ReadStreamResponse {
        batch: Some(EventBatch::new(page.events)),
        next: page.next.map(|version| version.0),
        version: page.version.0,
    }
}

/// A part of a stream as core says it.
pub fn stream_page_from_wire(response: v1::ReadStreamResponse) -> StreamPage {
    StreamPage {
        events: response.batch.unwrap_or_default().into_events(),
        next: response.next.map(Version),
        version: Version(response.version),
    }
}

/// What is known of a stream, on the wire.
pub fn stream_info_to_wire(info: &StreamInfo) -> v1::StreamInfo {
    v1::StreamInfo { stream: info.stream.to_string(), version: info.version.0, partition: info.partition.0.into() }
}

/// What is known of a stream, as core says it.
pub fn stream_info_from_wire(info: v1::StreamInfo) -> Result<StreamInfo, Malformed> {
    Ok(StreamInfo {
        stream: StreamName::from_storage(info.stream),
        version: Version(info.version),
        partition: partition(info.partition)?,
    })
}

/// Reads a wish for a page of streams.
pub fn list_streams(request: v1::ListStreamsRequest) -> Result<ListStreams, InvalidAppend> {
    let category = request.category.map(|name| Category::new(name).map_err(|error| invalid_name("category")(error)));
    Ok(ListStreams {
        category: category.transpose()?,
        prefix: request.prefix,
        after: request.after,
        limit: if request.limit == 0 { STREAMS_DEFAULT } else { limit(request.limit) },
    })
}

/// A wish for a page of streams, on the wire.
pub fn list_streams_to_wire(list: &ListStreams) -> v1::ListStreamsRequest {
    v1::ListStreamsRequest {
        category: list.category.as_ref().map(ToString::to_string),
        prefix: list.prefix.clone(),
        after: list.after,
        limit: list.limit.max(1) as u64,
    }
}

/// A page of streams on the wire.
pub fn streams_page_to_wire(page: &StreamsPage) -> v1::ListStreamsResponse {
    v1::ListStreamsResponse { streams: page.streams.iter().map(stream_info_to_wire).collect(), next: page.next }
}

/// A page of streams as core says it.
pub fn streams_page_from_wire(response: v1::ListStreamsResponse) -> Result<StreamsPage, Malformed> {
    let streams = response.streams.into_iter().map(stream_info_from_wire);
    Ok(StreamsPage { streams: streams.collect::<Result<_, _>>()?, next: response.next })
}

/// A number of events on the wire as one of this machine.
pub fn limit(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// A lease on the wire.
pub fn lease_to_wire(lease: &Lease) -> v1::Lease {
    v1::Lease {
        name: lease.name.clone(),
        owner: lease.owner.clone(),
        token: lease.token,
        expires_at: lease.expires_at.as_micros(),
    }
}

/// A lease as core says it.
pub fn lease_from_wire(lease: v1::Lease) -> Lease {
    Lease {
        name: lease.name,
        owner: lease.owner,
        token: lease.token,
        expires_at: Timestamp::from_micros(lease.expires_at),
    }
}

/// What became of the wish for a lease, on the wire.
pub fn lease_outcome_to_wire(outcome: &LeaseOutcome) -> v1::AcquireLeaseResponse {
    use v1::acquire_lease_response::Outcome;
    let outcome = match outcome {
        LeaseOutcome::Held(lease) => Outcome::Held(lease_to_wire(lease)),
        LeaseOutcome::Taken(lease) => Outcome::Taken(lease_to_wire(lease)),
    };
    v1::AcquireLeaseResponse { outcome: Some(outcome) }
}

/// What became of the wish for a lease, as core says it.
pub fn lease_outcome_from_wire(response: v1::AcquireLeaseResponse) -> Result<LeaseOutcome, Malformed> {
    use v1::acquire_lease_response::Outcome;
    Ok(match response.outcome.ok_or_else(|| Malformed::new("a lease without an outcome"))? {
        Outcome::Held(lease) => LeaseOutcome::Held(lease_from_wire(lease)),
        Outcome::Taken(lease) => LeaseOutcome::Taken(lease_from_wire(lease)),
    })
}
