//! Events as they come in JSON: CloudEvents 1.0, and the plain form `{type, data, id?, metadata?, …}`.
//!
//! Every function names the field that is wrong, like `[3].type`, and takes nothing it does not understand silently.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pacioli_core::{EventId, EventType, InvalidAppend, Metadata, NewEvent, Payload, Tag, Tags};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::cloudevents::SOURCE;
use crate::object::{At, Elements, Members, body_text, read, text, texts};
use crate::text::push_string;
use crate::time;

/// A CloudEvent on its way into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvent {
    /// Its `subject`: the stream it belongs to, where it says so.
    pub subject: Option<String>,
    /// The event.
    pub event: NewEvent,
}

/// What was read in the plain form, where events may come without an `id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain<T> {
    /// What was read.
    pub content: T,
    /// Whether an event got its id here, so that the same text read again gives another event: without an idempotency key
    /// it must not be sent again blindly.
    pub made_ids: bool,
}

/// Reads one CloudEvent in its structured form.
///
/// An `id` that is no UUID becomes the UUIDv5 of source and id, and the original is kept. Extensions that mean nothing here
/// become free headers; those that only the store sets (`streamversion`, `partition`, `position`) are left behind.
///
/// # Errors
/// The field that is wrong, like `type`.
pub fn cloud_event(body: &[u8]) -> Result<CloudEvent, InvalidAppend> {
    one_cloud_event(body_text(body)?, At(""))
}

/// Reads an array of CloudEvents, each as [`cloud_event`] does.
///
/// # Errors
/// The field that is wrong, like `[3].type`.
pub fn cloud_events(body: &[u8]) -> Result<Vec<CloudEvent>, InvalidAppend> {
    let Elements(elements) = array(body_text(body)?, At(""))?;
    let event = |(index, element): (usize, &RawValue)| one_cloud_event(element.get(), At(&At("").element(index)));
    elements.into_iter().enumerate().map(event).collect()
}

/// Reads an array of events in the plain form; an event without an `id` gets a new UUIDv7.
///
/// # Errors
/// The field that is wrong, like `[3].type`.
pub fn plain_events(body: &[u8]) -> Result<Plain<Vec<NewEvent>>, InvalidAppend> {
    plain_event_list(body_text(body)?, At(""))
}

/// Reads the JSON object of metadata in the plain form: `actor`, `correlation_id`, `causation_id` and `traceparent` are
/// the typed fields, all others are free headers.
///
/// # Errors
/// The member that is wrong, like `metadata.traceparent`.
pub fn plain_metadata(json: &[u8]) -> Result<Metadata, InvalidAppend> {
    metadata(body_text(json)?.trim_ascii(), At("metadata"))
}

/// The id of an event that was imported from `source` under a name of its own: the same name always gives the same UUID.
pub fn foreign_id(source: &str, id: &str) -> EventId {
    EventId(Uuid::new_v5(&Uuid::new_v5(&Uuid::NAMESPACE_URL, source.as_bytes()), id.as_bytes()))
}

pub(crate) fn array<'a>(text: &'a str, at: At<'_>) -> Result<Elements<'a>, InvalidAppend> {
    let text = text.trim_ascii();
    if !text.starts_with('[') {
        return Err(at.error("must be a list of events, like [{\"type\":\"MoneyDeposited\",\"data\":{}}]"));
    }
    read(text, at)
}

pub(crate) fn object<'a>(text: &'a str, at: At<'_>) -> Result<Members<'a>, InvalidAppend> {
    let text = text.trim_ascii();
    if !text.starts_with('{') {
        return Err(at.error("must be a JSON object"));
    }
    read(text, at)
}

fn required<T>(value: Option<T>, name: &str, at: At<'_>) -> Result<T, InvalidAppend> {
    value.ok_or_else(|| InvalidAppend::new(at.member(name), "is missing"))
}

fn event_type(text: &str, at: At<'_>) -> Result<EventType, InvalidAppend> {
    EventType::new(text).map_err(|error| InvalidAppend::new(at.member("type"), error.problem))
}

fn tags<'a>(given: impl IntoIterator<Item = Cow<'a, str>>, at: At<'_>) -> Result<Tags, InvalidAppend> {
    let invalid = |error: pacioli_core::InvalidName| InvalidAppend::new(at.member("tags"), error.to_string());
    let tags: Vec<Tag> = given.into_iter().map(|tag| Tag::new(&*tag)).collect::<Result<_, _>>().map_err(invalid)?;
    Tags::new(tags).map_err(invalid)
}

fn moment(text: &str, name: &str, at: At<'_>) -> Result<pacioli_core::Timestamp, InvalidAppend> {
    time::parse(text).map_err(|problem| InvalidAppend::new(at.member(name), problem))
}

fn traceparent(text: &str, name: &str, at: At<'_>) -> Result<(), InvalidAppend> {
    pacioli_core::append::check_traceparent(text).map_err(|problem| InvalidAppend::new(at.member(name), problem))
}

fn schema_version(value: &RawValue, name: &str, at: At<'_>) -> Result<Option<u32>, InvalidAppend> {
    match value.get() {
        "null" => Ok(None),
        digits => digits
            .trim_matches('"')
            .parse()
            .map(Some)
            .map_err(|_| InvalidAppend::new(at.member(name), "must be a whole number from 1 on")),
    }
}

/// The JSON of `data`, byte for byte; the strict check comes when the append is checked.
fn json_payload(value: &RawValue) -> Payload {
    // A copy, because a slice would keep the whole request alive for as long as the event is cached.
    Payload::Json(Bytes::copy_from_slice(value.get().as_bytes()))
}

/// Members of a CloudEvent that are read in a fixed order after all of them were seen.
#[derive(Default)]
struct Attributes<'a> {
    specversion: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    time: Option<Cow<'a, str>>,
    recordedat: Option<Cow<'a, str>>,
    sourceid: Option<Cow<'a, str>>,
    content_type: Option<Cow<'a, str>>,
    headers: Option<Cow<'a, str>>,
    data: Option<&'a RawValue>,
    data_base64: Option<Cow<'a, str>>,
    /// Attributes that mean nothing here, with their JSON.
    others: Vec<(Cow<'a, str>, &'a str)>,
}

fn one_cloud_event(json: &str, at: At<'_>) -> Result<CloudEvent, InvalidAppend> {
    let Members(members) = object(json, at)?;
    let mut seen = Attributes::default();
    let mut subject = None;
    let mut type_of = None;
    let mut schema = None;
    let mut tag_list = None;
    let mut metadata = Metadata::default();
    for (name, value) in members {
        let boxed = || -> Result<Option<Box<str>>, InvalidAppend> { Ok(text(value, &name, at)?.map(Box::from)) };
        match &*name {
            "specversion" => seen.specversion = text(value, &name, at)?,
            "id" => seen.id = text(value, &name, at)?,
            "source" => seen.source = text(value, &name, at)?,
            "type" => type_of = text(value, &name, at)?,
            "subject" => subject = text(value, &name, at)?.map(Cow::into_owned),
            "time" => seen.time = text(value, &name, at)?,
            "datacontenttype" => seen.content_type = text(value, &name, at)?,
            "data" => seen.data = Some(value),
            "data_base64" => seen.data_base64 = text(value, &name, at)?,
            "recordedat" => seen.recordedat = text(value, &name, at)?,
            "sourceid" => seen.sourceid = text(value, &name, at)?,
            "schemaversion" => schema = schema_version(value, &name, at)?,
            "tags" => tag_list = text(value, &name, at)?,
            "metadata" => seen.headers = text(value, &name, at)?,
            "actor" => metadata.actor = boxed()?,
            "correlationid" => metadata.correlation_id = boxed()?,
            "causationid" => metadata.causation_id = boxed()?,
            "traceparent" => metadata.traceparent = boxed()?,
            // Where an event lies is for the store to say.
            "streamversion" | "partition" | "position" => {}
            _ => {
                check_extension(&name, value, at)?;
                if value.get() != "null" {
                    seen.others.push((name, value.get()));
                }
            }
        }
    }
    if required(seen.specversion.as_deref(), "specversion", at)? != "1.0" {
        return Err(InvalidAppend::new(at.member("specversion"), "must be \"1.0\""));
    }
    let event_type = event_type(&required(type_of, "type", at)?, at)?;
    let source = required(seen.source.take(), "source", at)?;
    let id = required(seen.id.take(), "id", at)?;
    let (id, source_id) = identify(&source, &id, seen.sourceid.take(), at)?;
    metadata.source_id = source_id;
    metadata.source = (source != SOURCE).then(|| Box::from(source));
    if let Some(text) = &metadata.traceparent {
        traceparent(text, "traceparent", at)?;
    }
    let tags = match tag_list.as_deref() {
        None | Some("") => Tags::default(),
        Some(joined) => tags(joined.split(',').map(|tag| Cow::Borrowed(tag.trim())), at)?,
    };
    // Also where an export gives the time of recording: the event must not be dated anew in the store it moves to.
    let occurred_at = seen.time.as_deref().map(|time| moment(time, "time", at)).transpose()?;
    let data = payload(&mut seen, at)?;
    metadata.headers = headers(&seen, at)?;
    let event = NewEvent { id, event_type, schema_version: schema, data, metadata, tags, occurred_at };
    Ok(CloudEvent { subject, event })
}

/// The event's id, and the original where that was no UUID.
fn identify(
    source: &str,
    id: &str,
    kept: Option<Cow<'_, str>>,
    at: At<'_>,
) -> Result<(EventId, Option<Box<str>>), InvalidAppend> {
    if id.is_empty() {
        return Err(InvalidAppend::new(at.member("id"), "is empty"));
    }
    // The usual spelling only: others of the same UUID are other texts, and would be lost.
    match Uuid::try_parse(id).ok().filter(|_| id.len() == uuid::fmt::Hyphenated::LENGTH) {
        Some(uuid) => Ok((EventId(uuid), kept.map(Box::from))),
        None if kept.is_some() => {
            Err(InvalidAppend::new(at.member("sourceid"), "names an original id, but `id` is no UUID itself"))
        }
        None => Ok((foreign_id(source, id), Some(Box::from(id)))),
    }
}

fn check_extension(name: &str, value: &RawValue, at: At<'_>) -> Result<(), InvalidAppend> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        return Err(InvalidAppend::new(
            at.member(name),
            "is no CloudEvents attribute: their names have lower-case letters and digits only",
        ));
    }
    if value.get().starts_with(['{', '[']) {
        return Err(InvalidAppend::new(at.member(name), "must be text, a number or a boolean, as CloudEvents has it"));
    }
    Ok(())
}

fn payload(seen: &mut Attributes<'_>, at: At<'_>) -> Result<Payload, InvalidAppend> {
    let content_type = seen.content_type.as_deref().unwrap_or("");
    let media_type = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let is_json = media_type.is_empty() || media_type.ends_with("/json") || media_type.ends_with("+json");
    let (payload, usual) = match (seen.data, &seen.data_base64) {
        (Some(_), Some(_)) => {
            return Err(InvalidAppend::new(at.member("data_base64"), "and `data` exclude each other"));
        }
        (None, Some(encoded)) => {
            let bytes = STANDARD
                .decode(&**encoded)
                .map_err(|error| InvalidAppend::new(at.member("data_base64"), format!("is no base64: {error}")))?;
            if is_json && !media_type.is_empty() {
                (Payload::Json(bytes.into()), "application/json")
            } else {
                (Payload::Binary(bytes.into()), "application/octet-stream")
            }
        }
        // CloudEvents has text of another type as a JSON string.
        (Some(value), None) if !is_json && value.get().starts_with('"') => {
            let text = required(text(value, "data", at)?, "data", at)?;
            (Payload::Binary(Bytes::from(text.into_owned())), "application/octet-stream")
        }
        (Some(value), None) => (json_payload(value), "application/json"),
        (None, None) if seen.recordedat.is_some() => {
            return Err(InvalidAppend::new(
                at.member("data"),
                "is missing from an event that came out of a store; export it with all its fields",
            ));
        }
        (None, None) => (Payload::Binary(Bytes::new()), "application/octet-stream"),
    };
    // The usual types follow from the payload; another one is kept as a header.
    if content_type.is_empty() || content_type == usual {
        seen.content_type = None;
    }
    Ok(payload)
}

/// The free headers: those of `metadata` byte for byte, and behind them what else the event carried.
fn headers(seen: &Attributes<'_>, at: At<'_>) -> Result<Option<Bytes>, InvalidAppend> {
    let others = seen.others.iter().map(|(name, json)| (&**name, Cow::Borrowed(*json)));
    let content_type = seen.content_type.as_deref().map(|content_type| {
        let mut json = Vec::new();
        push_string(&mut json, content_type);
        ("datacontenttype", Cow::Owned(String::from_utf8_lossy(&json).into_owned()))
    });
    let mut others = others.chain(content_type).peekable();
    // Blanks around the text are not part of the object: engines keep it inside another one.
    let given = seen.headers.as_deref().map(str::trim_ascii);
    if others.peek().is_none() {
        return Ok(given.map(|given| Bytes::copy_from_slice(given.as_bytes())));
    }
    let member = at.member("metadata");
    let Members(known) = match given {
        Some(given) => object(given, At(&member))?,
        None => Members(Vec::new()),
    };
    let body = given.unwrap_or("{}");
    let mut joined = body.as_bytes()[..body.len() - 1].to_vec();
    let mut is_first = known.is_empty();
    for (name, json) in others {
        if known.iter().any(|(known, _)| known == name) {
            return Err(InvalidAppend::new(at.member(name), "is also a header in `metadata`"));
        }
        if !std::mem::take(&mut is_first) {
            joined.push(b',');
        }
        push_string(&mut joined, name);
        joined.push(b':');
        joined.extend_from_slice(json.as_bytes());
    }
    joined.push(b'}');
    Ok(Some(joined.into()))
}

pub(crate) fn plain_event_list(json: &str, at: At<'_>) -> Result<Plain<Vec<NewEvent>>, InvalidAppend> {
    let Elements(elements) = array(json, at)?;
    let mut made_ids = false;
    let event =
        |(index, element): (usize, &RawValue)| plain_event(element.get(), At(&at.element(index)), &mut made_ids);
    let content = elements.into_iter().enumerate().map(event).collect::<Result<_, _>>()?;
    Ok(Plain { content, made_ids })
}

fn plain_event(json: &str, at: At<'_>, made_ids: &mut bool) -> Result<NewEvent, InvalidAppend> {
    let Members(members) = object(json, at)?;
    let mut type_of = None;
    let mut data = None;
    let mut id = None;
    let mut tag_list = Vec::new();
    let mut schema = None;
    let mut occurred_at = None;
    let mut about = Metadata::default();
    for (name, value) in members {
        match &*name {
            "type" => type_of = text(value, &name, at)?,
            "data" => data = Some(json_payload(value)),
            "id" => {
                id = text(value, &name, at)?.map(|id| parse_uuid(&id, &at.member("id"))).transpose()?;
            }
            "metadata" if value.get() == "null" => {}
            "metadata" => about = metadata(value.get(), At(&at.member("metadata")))?,
            "tags" => tag_list = texts(value, &name, at)?,
            "occurred_at" => {
                occurred_at = text(value, &name, at)?.map(|text| moment(&text, &name, at)).transpose()?;
            }
            "schema_version" => schema = schema_version(value, &name, at)?,
            _ => {
                return Err(InvalidAppend::new(
                    at.member(&name),
                    "is no member of an event (type, data, id, metadata, tags, occurred_at, schema_version); headers of \
                     your own go into `metadata`",
                ));
            }
        }
    }
    *made_ids |= id.is_none();
    Ok(NewEvent {
        id: EventId(id.unwrap_or_else(Uuid::now_v7)),
        event_type: event_type(&required(type_of, "type", at)?, at)?,
        schema_version: schema,
        data: required(data, "data", at)?,
        metadata: about,
        tags: tags(tag_list, at)?,
        occurred_at,
    })
}

pub(crate) fn parse_uuid(text: &str, field: &str) -> Result<Uuid, InvalidAppend> {
    Uuid::try_parse(text).map_err(|_| {
        let problem = format!("`{}` is no UUID", crate::text::shown(text));
        InvalidAppend::new(field, problem)
    })
}

fn metadata(json: &str, at: At<'_>) -> Result<Metadata, InvalidAppend> {
    let Members(members) = object(json, at)?;
    let mut metadata = Metadata::default();
    let mut free = Vec::new();
    let mut has_typed = false;
    for (name, value) in members {
        let field = match &*name {
            "actor" => &mut metadata.actor,
            "correlation_id" => &mut metadata.correlation_id,
            "causation_id" => &mut metadata.causation_id,
            "traceparent" => &mut metadata.traceparent,
            _ => {
                free.push((name, value));
                continue;
            }
        };
        has_typed = true;
        *field = text(value, &name, at)?.map(Box::from);
    }
    if let Some(text) = &metadata.traceparent {
        traceparent(text, "traceparent", at)?;
    }
    if !free.is_empty() && !has_typed {
        metadata.headers = Some(Bytes::copy_from_slice(json.trim_ascii().as_bytes()));
    } else if !free.is_empty() {
        let mut headers = vec![b'{'];
        for (index, (name, value)) in free.iter().enumerate() {
            if index > 0 {
                headers.push(b',');
            }
            push_string(&mut headers, name);
            headers.push(b':');
            headers.extend_from_slice(value.get().as_bytes());
        }
        headers.push(b'}');
        metadata.headers = Some(headers.into());
    }
    Ok(metadata)
}
