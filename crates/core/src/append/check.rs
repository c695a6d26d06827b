//! The check at the door: the first wrong field of a request is named, and what passes is valid for ever.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::{Append, AppendRequest, Condition, ContentHash, InvalidAppend, StreamWrite};
use crate::event::{NewEvent, Payload, Timestamp};
use crate::json;
use crate::limits::Limits;
use crate::place::Checkpoint;
use crate::schemas::{Judged, REGISTRY_STREAM};

/// The first moment of the year 0, in microseconds: earlier ones have no four-digit year.
const EARLIEST: Timestamp = Timestamp::from_micros(-62_167_219_200_000_000);

impl AppendRequest {
    /// Turns the request into an [`Append`], or names the first field that is wrong.
    ///
    /// `now` bounds `occurred_at`; `partitions` is how many the store has, since an append must stay in one. The registry's own
    /// stream takes nothing but what [`check_record`](AppendRequest::check_record) lets through: it is its history.
    pub fn check(self, limits: &Limits, now: Timestamp, partitions: u16) -> Result<Append, InvalidAppend> {
        if let Some(w) = self.writes.iter().position(|write| write.stream.as_str() == REGISTRY_STREAM) {
            return Err(InvalidAppend::new(
                format!("writes[{w}].stream"),
                format!(
                    "`{REGISTRY_STREAM}` is the history of the schema registry, which alone writes it; change the registry"
                ),
            ));
        }
        self.check_record(limits, now, partitions)
    }

    /// The same for what the registry itself records of a change.
    pub fn check_record(mut self, limits: &Limits, now: Timestamp, partitions: u16) -> Result<Append, InvalidAppend> {
        self.trim_headers();
        let mut ids = HashSet::new();
        let mut events = 0;
        let (mut bytes, mut queued_bytes) = (0, 0);
        if self.writes.is_empty() {
            return Err(InvalidAppend::new("writes", "an append needs at least one stream"));
        }
        let total: usize = self.writes.iter().map(|write| write.events.len()).sum();
        if total > limits.append_events_max {
            return Err(InvalidAppend::over(
                "events",
                format!("an append has at most {} events, this one has {total}; split it", limits.append_events_max),
            ));
        }
        let partition = self.writes[0].stream.partition(partitions);
        for (w, write) in self.writes.iter().enumerate() {
            let stream = &write.stream;
            if self.writes[..w].iter().any(|other| other.stream == *stream) {
                return Err(InvalidAppend::new(
                    format!("writes[{w}].stream"),
                    format!("`{stream}` is written twice in one append; put its events together"),
                ));
            }
            if stream.partition(partitions) != partition {
                return Err(InvalidAppend::new(
                    format!("writes[{w}].stream"),
                    format!(
                        "`{}` lives in partition {partition} and `{stream}` in partition {}: an append must stay in one \
                         partition; streams whose names share the part after the first `-` do",
                        self.writes[0].stream,
                        stream.partition(partitions)
                    ),
                ));
            }
            if write.events.is_empty() {
                return Err(InvalidAppend::new(format!("writes[{w}].events"), "an append needs at least one event"));
            }
            for (e, event) in write.events.iter().enumerate() {
                let field = |name: &str| format!("writes[{w}].events[{e}].{name}");
                check_event(event, limits, now, field)?;
                if total > 1 && !ids.insert(event.id) {
                    return Err(InvalidAppend::new(
                        field("id"),
                        format!("the id {} is used twice in this append; every event needs its own", event.id),
                    ));
                }
                bytes += event.len();
                queued_bytes += event.queued_len();
            }
            events += write.events.len();
        }
        if bytes > limits.append_bytes_max {
            return Err(InvalidAppend::over(
                "events",
                format!("an append has at most {} bytes, this one has {bytes}; split it", limits.append_bytes_max),
            ));
        }
        if let Some(condition) = &self.condition {
            check_condition(condition, limits, partitions)?;
        }
        if let Some(tracking) = &self.tracking {
            check_consumer_name("tracking.name", &tracking.name)?;
            if tracking.checkpoint.partitions() != partitions {
                return Err(wrong_partitions("tracking.checkpoint", &tracking.checkpoint, partitions));
            }
        }
        let content = self.key.map(|_| content_hash(&self.writes));
        let bytes = queued_bytes + self.writes.len() * 64 + self.condition.as_ref().map_or(0, Condition::len);
        Ok(Append { request: self, partition, events, bytes, content, judged: Judged::default() })
    }
}

impl AppendRequest {
    /// Blanks around headers are not part of the object: engines keep it inside another one, where they would be lost.
    fn trim_headers(&mut self) {
        for event in self.writes.iter_mut().flat_map(|write| &mut write.events) {
            if let Some(headers) = &mut event.metadata.headers {
                let trimmed = headers.slice_ref(headers.trim_ascii());
                *headers = trimmed;
            }
        }
    }
}

fn check_event(
    event: &NewEvent,
    limits: &Limits,
    now: Timestamp,
    field: impl Fn(&str) -> String,
) -> Result<(), InvalidAppend> {
    if event.len() > limits.event_bytes_max {
        return Err(InvalidAppend::over(
            field("data"),
            format!(
                "an event has at most {} bytes, this one has {}; store the payload elsewhere and put its URL in the event",
                limits.event_bytes_max,
                event.len()
            ),
        ));
    }
    if event.metadata.len() > limits.metadata_bytes_max {
        return Err(InvalidAppend::over(
            field("metadata"),
            format!("metadata has at most {} bytes, this has {}", limits.metadata_bytes_max, event.metadata.len()),
        ));
    }
    if let Payload::Json(bytes) = &event.data {
        json::check(bytes).map_err(|error| InvalidAppend::new(field("data"), error.to_string()))?;
    }
    if let Some(headers) = &event.metadata.headers {
        match json::check(headers) {
            Ok(json::Shape::Object) => {}
            Ok(_) => return Err(InvalidAppend::new(field("metadata"), "headers must be a JSON object")),
            Err(error) => return Err(InvalidAppend::new(field("metadata"), error.to_string())),
        }
    }
    for (name, value) in event.metadata.fields() {
        if value.is_some_and(|value| value.chars().any(char::is_control)) {
            return Err(InvalidAppend::new(field(&format!("metadata.{name}")), "has a control character"));
        }
    }
    if let Some(traceparent) = &event.metadata.traceparent {
        check_traceparent(traceparent).map_err(|problem| InvalidAppend::new(field("metadata.traceparent"), problem))?;
    }
    if event.schema_version == Some(0) {
        return Err(InvalidAppend::new(field("schema_version"), "schema versions count from 1"));
    }
    if let Some(occurred_at) = event.occurred_at {
        if occurred_at < EARLIEST {
            return Err(InvalidAppend::new(
                field("occurred_at"),
                "lies before the year 0, which SQL and JSON cannot name",
            ));
        }
        let ahead = occurred_at.as_micros().saturating_sub(now.as_micros());
        if ahead > limits.future_micros_max {
            return Err(InvalidAppend::new(
                field("occurred_at"),
                format!(
                    "lies {} s ahead of the store's clock; at most {} s are allowed. Check the clock of the producer",
                    ahead / 1_000_000,
                    limits.future_micros_max / 1_000_000
                ),
            ));
        }
    }
    Ok(())
}

fn check_condition(condition: &Condition, limits: &Limits, partitions: u16) -> Result<(), InvalidAppend> {
    let items = &condition.query.items;
    if items.is_empty() {
        return Err(InvalidAppend::new("condition.items", "a condition needs at least one item"));
    }
    if items.len() > limits.query_terms_max {
        return Err(InvalidAppend::over(
            "condition.items",
            format!("at most {} items are allowed", limits.query_terms_max),
        ));
    }
    let mut terms = 0;
    for (i, item) in items.iter().enumerate() {
        if item.types.is_empty() && item.tags.is_empty() {
            return Err(InvalidAppend::new(
                format!("condition.items[{i}]"),
                "matches every event; name at least one type or tag",
            ));
        }
        // Each of them is a list to look into, on the one thread that writes.
        terms += item.types.len() + item.tags.len();
        if terms > limits.query_terms_max {
            return Err(InvalidAppend::over(
                format!("condition.items[{i}]"),
                format!("a condition has at most {} types and tags, over all items", limits.query_terms_max),
            ));
        }
    }
    match &condition.after {
        Some(after) if after.partitions() != partitions => Err(wrong_partitions("condition.after", after, partitions)),
        _ => Ok(()),
    }
}

fn wrong_partitions(field: &str, checkpoint: &Checkpoint, partitions: u16) -> InvalidAppend {
    InvalidAppend::new(
        field,
        format!(
            "`{checkpoint}` speaks of {} partitions and this store has {partitions}; is it from another store?",
            checkpoint.partitions()
        ),
    )
}

/// Checks the name of a consumer or a lease: 1 to 256 bytes without control characters.
pub fn check_consumer_name(field: &str, name: &str) -> Result<(), InvalidAppend> {
    if name.is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
        return Err(InvalidAppend::new(field, "must have 1 to 256 bytes and no control character"));
    }
    Ok(())
}

/// Checks a W3C trace context, like `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`.
///
/// # Errors
/// What is wrong, as the rest of a sentence that begins with the field's name.
pub fn check_traceparent(text: &str) -> Result<(), &'static str> {
    const PROBLEM: &str =
        "is no W3C trace context; it looks like `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`";
    let is_hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = text.split('-');
    let mut part = || parts.next().unwrap_or("");
    let (version, trace, parent, flags) = (part(), part(), part(), part());
    let is_whole = is_hex(version, 2) && is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    let is_valid = version != "ff" && trace.bytes().any(|b| b != b'0') && parent.bytes().any(|b| b != b'0');
    // Version 00 has exactly four parts; later versions may have more.
    if is_whole && is_valid && (version != "00" || parts.next().is_none()) { Ok(()) } else { Err(PROBLEM) }
}

/// Every part is written with its length before it, so that no two contents share an encoding.
fn content_hash(writes: &[StreamWrite]) -> ContentHash {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for write in writes {
        part(write.stream.as_str().as_bytes());
        part(&(write.events.len() as u64).to_be_bytes());
        for event in &write.events {
            part(event.event_type.as_str().as_bytes());
            part(&event.schema_version.map_or([0; 4], u32::to_be_bytes));
            part(&[u8::from(event.data.is_json())]);
            part(event.data.bytes());
            for (_, value) in event.metadata.fields() {
                part(value.unwrap_or("").as_bytes());
            }
            part(event.metadata.headers.as_deref().unwrap_or(b""));
            part(event.tags.joined().as_bytes());
            part(&event.occurred_at.map_or([0; 9], |at| {
                let mut bytes = [1; 9];
                bytes[1..].copy_from_slice(&at.as_micros().to_be_bytes());
                bytes
            }));
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::append::ExpectedVersion;
    use crate::event::EventId;
    use crate::names::{EventType, StreamName};

    fn event(id: u128, data: &'static str) -> NewEvent {
        NewEvent::json(EventId(Uuid::from_u128(id)), EventType::new("E").unwrap(), data)
    }

    fn check(builder: AppendRequest) -> Result<Append, InvalidAppend> {
        builder.check(&Limits::default(), Timestamp::from_micros(0), 1)
    }

    fn stream(name: &str) -> StreamName {
        StreamName::new(name).unwrap()
    }

    #[test]
    fn the_wrong_field_is_named() {
        let to = |events| Append::to(stream("a-1"), ExpectedVersion::Any, events);
        assert_eq!(check(to(vec![])).unwrap_err().field, "writes[0].events");
        assert_eq!(check(to(vec![event(1, "{}"), event(1, "{}")])).unwrap_err().field, "writes[0].events[1].id");
        assert_eq!(check(to(vec![event(1, "{")])).unwrap_err().field, "writes[0].events[0].data");
        let twice = to(vec![event(1, "{}")]).and(stream("a-1"), ExpectedVersion::Any, vec![event(2, "{}")]);
        assert_eq!(check(twice).unwrap_err().field, "writes[1].stream");
        let many = check(to((0..1001).map(|i| event(i, "{}")).collect())).unwrap_err();
        assert!(many.over_limit);
        let mut late = event(1, "{}");
        late.occurred_at = Some(Timestamp::from_micros(5_000_001));
        assert_eq!(check(to(vec![late.clone()])).unwrap_err().field, "writes[0].events[0].occurred_at");
        late.occurred_at = Some(Timestamp::from_micros(5_000_000));
        assert!(check(to(vec![late])).is_ok());
    }

    #[test]
    fn only_the_registry_writes_its_history() {
        let of = |name: &str| Append::to(stream(name), ExpectedVersion::Any, vec![event(1, "{}")]);
        for append in
            [of(REGISTRY_STREAM), of("a").and(stream(REGISTRY_STREAM), ExpectedVersion::Any, vec![event(2, "{}")])]
        {
            let refused = check(append.clone()).unwrap_err();
            assert!(refused.field.ends_with(".stream") && refused.problem.contains("registry"), "{refused}");
            assert!(append.check_record(&Limits::default(), Timestamp::from_micros(0), 1).is_ok());
        }
        assert!(check(of("$other")).is_ok());
    }

    #[test]
    fn the_content_hash_ignores_ids_and_expectations_only() {
        let hash = |id: u128, data: &'static str, expected| {
            let keyed = Append::to(stream("a-1"), expected, vec![event(id, data)]).key(Uuid::from_u128(9));
            *check(keyed).unwrap().content().unwrap()
        };
        let first = hash(1, "{}", ExpectedVersion::Any);
        assert_eq!(first, hash(2, "{}", ExpectedVersion::None));
        assert_ne!(first, hash(1, "{ }", ExpectedVersion::Any));
    }

    #[test]
    fn an_append_stays_in_one_partition() {
        let order = |key: &str| stream(&format!("order-{key}"));
        let append = |other: StreamName| {
            Append::to(order("7"), ExpectedVersion::Any, vec![event(1, "{}")])
                .and(other, ExpectedVersion::Any, vec![event(2, "{}")])
                .check(&Limits::default(), Timestamp::from_micros(0), 4)
        };
        assert!(append(stream("payment-7")).is_ok());
        let apart = (0..).map(|i| order(&i.to_string())).find(|s| s.partition(4) != order("7").partition(4)).unwrap();
        assert!(append(apart).unwrap_err().problem.contains("one partition"));
    }
}
