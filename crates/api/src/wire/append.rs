//! Appends and their outcomes.

use bytes::Bytes;
use pacioli_core::schemas::SchemaViolation;
use pacioli_core::{
    AppendOutcome, AppendRequest, Appended, Condition, Conflict, EventId, EventType, ExpectedVersion, InvalidAppend,
    Metadata, NewEvent, Partition, Payload, Place, Position, Query, QueryItem, Refusal, StreamAppended, StreamName,
    StreamWrite, Tag, Tags, Timestamp, Tracking, Version,
};
use uuid::Uuid;

use super::{Malformed, checkpoint, given_checkpoint, invalid_name};
use crate::generated::v1;

/// What a client asks, as core says it.
///
/// # Errors
/// Names the first field that cannot be, like `writes[0].events[3].type`.
pub fn request_from_wire(request: v1::AppendRequest) -> Result<AppendRequest, InvalidAppend> {
    let writes = request.writes.into_iter().enumerate().map(|(w, write)| write_from_wire(w, write));
    Ok(AppendRequest {
        key: request.key.map(|key| uuid("key", &key)).transpose()?,
        writes: writes.collect::<Result<_, _>>()?,
        condition: request.condition.map(condition_from_wire).transpose()?,
        tracking: request.tracking.map(tracking_from_wire).transpose()?,
    })
}

fn write_from_wire(w: usize, write: v1::StreamWrite) -> Result<StreamWrite, InvalidAppend> {
    let stream = StreamName::new(write.stream).map_err(|error| invalid_name(format!("writes[{w}].stream"))(error))?;
    let expected = match write.expected {
        None => ExpectedVersion::Any,
        Some(expected) => expected_from_wire(&expected).ok_or_else(|| {
            InvalidAppend::new(format!("writes[{w}].expected"), "is a state this server does not know")
        })?,
    };
    let events = write.events.into_iter().enumerate();
    let events = events.map(|(e, event)| {
        event_from_wire(event)
            .map_err(|error| InvalidAppend { field: format!("writes[{w}].events[{e}].{}", error.field), ..error })
    });
    Ok(StreamWrite { stream, expected, events: events.collect::<Result<_, _>>()? })
}

fn event_from_wire(event: v1::NewEvent) -> Result<NewEvent, InvalidAppend> {
    let data = match event.data {
        Some(v1::new_event::Data::Json(bytes)) => Payload::Json(bytes),
        Some(v1::new_event::Data::Binary(bytes)) => Payload::Binary(bytes),
        None => return Err(InvalidAppend::new("data", "is missing; send `json` or `binary`, empty bytes at least")),
    };
    let tags = event.tags.into_iter().enumerate();
    let tags = tags.map(|(t, tag)| Tag::new(tag).map_err(|error| invalid_name(format!("tags[{t}]"))(error)));
    let tags = tags.collect::<Result<Vec<_>, _>>()?;
    Ok(NewEvent {
        id: EventId(uuid("id", &event.id)?),
        event_type: EventType::new(event.r#type).map_err(|error| invalid_name("type")(error))?,
        schema_version: event.schema_version,
        data,
        metadata: event.metadata.map(metadata_from_wire).unwrap_or_default(),
        tags: Tags::new(tags).map_err(|error| invalid_name("tags")(error))?,
        occurred_at: event.occurred_at.map(Timestamp::from_micros),
    })
}

fn metadata_from_wire(metadata: v1::Metadata) -> Metadata {
    Metadata {
        actor: metadata.actor.map(Into::into),
        correlation_id: metadata.correlation_id.map(Into::into),
        causation_id: metadata.causation_id.map(Into::into),
        traceparent: metadata.traceparent.map(Into::into),
        // The source that an export gives events which were not imported: it says nothing.
        source: metadata.source.filter(|source| source != crate::cloudevents::SOURCE).map(Into::into),
        source_id: metadata.source_id.map(Into::into),
        headers: metadata.headers,
    }
}

fn condition_from_wire(condition: v1::Condition) -> Result<Condition, InvalidAppend> {
    let items = condition.items.into_iter().enumerate().map(|(i, item)| {
        let field = |list: &str, at: usize| format!("condition.items[{i}].{list}[{at}]");
        Ok(QueryItem {
            types: types(item.types, |at| field("types", at))?,
            tags: tags(item.tags, |at| field("tags", at))?,
        })
    });
    Ok(Condition {
        query: Query { items: items.collect::<Result<_, _>>()? },
        after: condition.after.map(|after| checkpoint("condition.after", &after)).transpose()?,
    })
}

/// Reads event types; `field` names the one at an index.
pub(super) fn types(types: Vec<String>, field: impl Fn(usize) -> String) -> Result<Vec<EventType>, InvalidAppend> {
    let types = types.into_iter().enumerate();
    types.map(|(at, name)| EventType::new(name).map_err(|error| invalid_name(field(at))(error))).collect()
}

/// Reads tags; `field` names the one at an index.
pub(super) fn tags(tags: Vec<String>, field: impl Fn(usize) -> String) -> Result<Vec<Tag>, InvalidAppend> {
    let tags = tags.into_iter().enumerate();
    tags.map(|(at, name)| Tag::new(name).map_err(|error| invalid_name(field(at))(error))).collect()
}

fn tracking_from_wire(tracking: v1::Tracking) -> Result<Tracking, InvalidAppend> {
    let checkpoint = checkpoint("tracking.checkpoint", &tracking.checkpoint)?;
    Ok(Tracking { name: tracking.name, checkpoint })
}

fn uuid(field: &str, bytes: &[u8]) -> Result<Uuid, InvalidAppend> {
    let wrong = |_| InvalidAppend::new(field, format!("has {} bytes; a UUID has 16", bytes.len()));
    Uuid::from_slice(bytes).map_err(wrong)
}

fn expected_from_wire(expected: &v1::ExpectedVersion) -> Option<ExpectedVersion> {
    use v1::expected_version::{Expected, State};
    Some(match expected.expected {
        None => ExpectedVersion::Any,
        Some(Expected::Version(version)) => ExpectedVersion::Exact(Version(version)),
        Some(Expected::State(state)) => match State::try_from(state).ok()? {
            State::Unspecified | State::Any => ExpectedVersion::Any,
            State::None => ExpectedVersion::None,
            State::Exists => ExpectedVersion::Exists,
        },
    })
}

/// What is asked, as the wire says it.
pub fn request_to_wire(request: &AppendRequest) -> v1::AppendRequest {
    v1::AppendRequest {
        writes: request.writes.iter().map(write_to_wire).collect(),
        key: request.key.map(uuid_bytes),
        condition: request.condition.as_ref().map(|condition| v1::Condition {
            items: condition.query.items.iter().map(item_to_wire).collect(),
            after: condition.after.as_ref().map(ToString::to_string),
        }),
        tracking: request
            .tracking
            .as_ref()
            .map(|tracking| v1::Tracking { name: tracking.name.clone(), checkpoint: tracking.checkpoint.to_string() }),
    }
}

fn write_to_wire(write: &StreamWrite) -> v1::StreamWrite {
    v1::StreamWrite {
        stream: write.stream.to_string(),
        // "Any" is what an absent expectation says.
        expected: (write.expected != ExpectedVersion::Any).then(|| expected_to_wire(write.expected)),
        events: write.events.iter().map(event_to_wire).collect(),
    }
}

fn event_to_wire(event: &NewEvent) -> v1::NewEvent {
    v1::NewEvent {
        id: uuid_bytes(event.id.0),
        r#type: event.event_type.as_str().to_owned(),
        schema_version: event.schema_version,
        data: Some(match &event.data {
            Payload::Json(bytes) => v1::new_event::Data::Json(bytes.clone()),
            Payload::Binary(bytes) => v1::new_event::Data::Binary(bytes.clone()),
        }),
        metadata: (!event.metadata.is_empty()).then(|| metadata_to_wire(&event.metadata)),
        tags: event.tags.as_slice().iter().map(ToString::to_string).collect(),
        occurred_at: event.occurred_at.map(Timestamp::as_micros),
    }
}

pub(super) fn metadata_to_wire(metadata: &Metadata) -> v1::Metadata {
    let text = |value: &Option<Box<str>>| value.as_deref().map(str::to_owned);
    v1::Metadata {
        actor: text(&metadata.actor),
        correlation_id: text(&metadata.correlation_id),
        causation_id: text(&metadata.causation_id),
        traceparent: text(&metadata.traceparent),
        source: text(&metadata.source),
        source_id: text(&metadata.source_id),
        headers: metadata.headers.clone(),
    }
}

fn item_to_wire(item: &QueryItem) -> v1::QueryItem {
    v1::QueryItem {
        types: item.types.iter().map(ToString::to_string).collect(),
        tags: item.tags.iter().map(ToString::to_string).collect(),
    }
}

fn expected_to_wire(expected: ExpectedVersion) -> v1::ExpectedVersion {
    use v1::expected_version::{Expected, State};
    let expected = match expected {
        ExpectedVersion::Any => Expected::State(State::Any.into()),
        ExpectedVersion::None => Expected::State(State::None.into()),
        ExpectedVersion::Exists => Expected::State(State::Exists.into()),
        ExpectedVersion::Exact(version) => Expected::Version(version.0),
    };
    v1::ExpectedVersion { expected: Some(expected) }
}

fn uuid_bytes(id: Uuid) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// What became of an append, as the wire says it.
pub fn outcome_to_wire(outcome: &AppendOutcome) -> v1::AppendResponse {
    use v1::append_response::Outcome;
    let outcome = match outcome {
        AppendOutcome::Appended(appended) => Outcome::Appended(appended_to_wire(appended)),
        AppendOutcome::Conflict(conflict) => Outcome::Conflict(conflict_to_wire(conflict)),
        AppendOutcome::Refused(refusal) => Outcome::Refused(refusal_to_wire(refusal)),
    };
    v1::AppendResponse { outcome: Some(outcome) }
}

fn appended_to_wire(appended: &Appended) -> v1::Appended {
    let streams = appended.streams.iter().map(|stream| v1::StreamAppended {
        stream: stream.stream.to_string(),
        first_version: stream.first_version.0,
        last_version: stream.last_version.0,
    });
    v1::Appended {
        streams: streams.collect(),
        partition: appended.partition.0.into(),
        first_position: appended.first_position.0,
        last_position: appended.last_position.0,
        checkpoint: appended.checkpoint.to_string(),
        duplicate: appended.duplicate,
    }
}

fn conflict_to_wire(conflict: &Conflict) -> v1::Conflict {
    use v1::conflict::{ConditionMatched, ConsumerAhead, Ids, Reason, WrongVersion};
    let reason = match conflict {
        Conflict::Ids { known } => Reason::Ids(Ids { known: known.iter().map(|id| uuid_bytes(id.0)).collect() }),
        Conflict::Tracking { name, current } => {
            Reason::Tracking(ConsumerAhead { name: name.clone(), current: current.to_string() })
        }
        Conflict::ExpectedVersion { stream, expected, current } => Reason::ExpectedVersion(WrongVersion {
            stream: stream.to_string(),
            expected: Some(expected_to_wire(*expected)),
            current: current.map(|version| version.0),
        }),
        Conflict::Condition { matched } => Reason::Condition(ConditionMatched {
            matched: Some(v1::Place { partition: matched.partition.0.into(), position: matched.position.0 }),
        }),
    };
    v1::Conflict { reason: Some(reason), message: conflict.to_string() }
}

fn refusal_to_wire(refusal: &Refusal) -> v1::Refusal {
    use v1::refusal::{ByProjection, BySchema, IdReused, KeyReused, Reason};
    let reason = match refusal {
        Refusal::KeyReused { key } => Reason::KeyReused(KeyReused { key: uuid_bytes(*key) }),
        Refusal::BySchema(violation) => {
            let SchemaViolation { field, event_type, schema_version, semver, path, rule, problem, accepted_by } =
                (**violation).clone();
            Reason::BySchema(BySchema {
                field,
                r#type: event_type.to_string(),
                schema_version,
                semver: semver.map(|semver| semver.to_string()),
                path,
                rule,
                problem,
                accepted_by,
            })
        }
        Refusal::ByProjection { projection, reason } => {
            Reason::ByProjection(ByProjection { projection: projection.clone(), reason: reason.clone() })
        }
        Refusal::IdReused { id, stream, version } => {
            Reason::IdReused(IdReused { id: uuid_bytes(id.0), stream: stream.to_string(), version: version.0 })
        }
    };
    v1::Refusal { reason: Some(reason), message: refusal.to_string() }
}

/// What became of an append, as core says it.
///
/// # Errors
/// [`Malformed`] where the answer lacks a part; the outcome of the append is unknown then.
pub fn outcome_from_wire(response: v1::AppendResponse) -> Result<AppendOutcome, Malformed> {
    use v1::append_response::Outcome;
    Ok(match response.outcome.ok_or_else(|| Malformed::new("an append without an outcome"))? {
        Outcome::Appended(appended) => AppendOutcome::Appended(appended_from_wire(appended)?),
        Outcome::Conflict(conflict) => AppendOutcome::Conflict(conflict_from_wire(conflict)?),
        Outcome::Refused(refusal) => AppendOutcome::Refused(refusal_from_wire(refusal)?),
    })
}

fn appended_from_wire(appended: v1::Appended) -> Result<Appended, Malformed> {
    let streams = appended.streams.into_iter().map(|stream| StreamAppended {
        stream: StreamName::from_storage(stream.stream),
        first_version: Version(stream.first_version),
        last_version: Version(stream.last_version),
    });
    Ok(Appended {
        streams: streams.collect(),
        partition: partition(appended.partition)?,
        first_position: Position(appended.first_position),
        last_position: Position(appended.last_position),
        checkpoint: given_checkpoint(&appended.checkpoint)?,
        duplicate: appended.duplicate,
    })
}

fn conflict_from_wire(conflict: v1::Conflict) -> Result<Conflict, Malformed> {
    use v1::conflict::Reason;
    Ok(
        match conflict
            .reason
            .ok_or_else(|| Malformed::new(format!("a conflict of a kind unknown here ({})", conflict.message)))?
        {
            Reason::Ids(ids) => {
                let known = ids.known.iter().map(|id| given_uuid(id).map(EventId));
                Conflict::Ids { known: known.collect::<Result<_, _>>()? }
            }
            Reason::Tracking(ahead) => {
                Conflict::Tracking { current: given_checkpoint(&ahead.current)?, name: ahead.name }
            }
            Reason::ExpectedVersion(wrong) => Conflict::ExpectedVersion {
                stream: StreamName::from_storage(wrong.stream),
                expected: wrong
                    .expected
                    .as_ref()
                    .and_then(expected_from_wire)
                    .ok_or_else(|| Malformed::new("a conflict of versions without an expected one"))?,
                current: wrong.current.map(Version),
            },
            Reason::Condition(condition) => {
                let place = condition.matched.ok_or_else(|| Malformed::new("a matched condition without a place"))?;
                Conflict::Condition {
                    matched: Place { partition: partition(place.partition)?, position: Position(place.position) },
                }
            }
        },
    )
}

fn refusal_from_wire(refusal: v1::Refusal) -> Result<Refusal, Malformed> {
    use v1::refusal::Reason;
    Ok(
        match refusal
            .reason
            .ok_or_else(|| Malformed::new(format!("a refusal of a kind unknown here ({})", refusal.message)))?
        {
            Reason::KeyReused(reused) => Refusal::KeyReused { key: given_uuid(&reused.key)? },
            Reason::BySchema(by) => Refusal::BySchema(Box::new(SchemaViolation {
                field: by.field,
                event_type: EventType::from_storage(by.r#type),
                schema_version: by.schema_version,
                semver: by
                    .semver
                    .map(|semver| semver.parse().map_err(|_| Malformed::new("a semantic version that is none")))
                    .transpose()?,
                path: by.path,
                rule: by.rule,
                problem: by.problem,
                accepted_by: by.accepted_by,
            })),
            Reason::ByProjection(by) => Refusal::ByProjection { projection: by.projection, reason: by.reason },
            Reason::IdReused(reused) => Refusal::IdReused {
                id: EventId(given_uuid(&reused.id)?),
                stream: StreamName::from_storage(reused.stream),
                version: Version(reused.version),
            },
        },
    )
}

fn given_uuid(bytes: &[u8]) -> Result<Uuid, Malformed> {
    Uuid::from_slice(bytes).map_err(|_| Malformed::new("a UUID that has not 16 bytes"))
}

/// Reads a partition that a server gave.
pub(super) fn partition(number: u32) -> Result<Partition, Malformed> {
    u16::try_from(number).map(Partition).map_err(|_| Malformed::new("a partition beyond 16 bits"))
}
