//! The shapes of requests and answers in JSON that are not events.

use pacioli_core::{
    AppendRequest, Appended, Checkpoint, Condition, EventType, ExpectedVersion, InvalidAppend, Query, QueryItem,
    StreamAppended, StreamInfo, StreamName, StreamWrite, StreamsPage, Tag, Tracking,
};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::import::{Plain, array, object, parse_uuid, plain_event_list};
use crate::object::{At, Elements, Members, body_text, text, texts};

/// The answer to an append to one stream:
/// `{"stream":"account-1","first_version":0,"last_version":1,"checkpoint":"0:2","duplicate":false}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppendBody {
    /// The stream.
    pub stream: String,
    /// The version of the first event.
    pub first_version: u64,
    /// The version of the last event.
    pub last_version: u64,
    /// Not before this checkpoint a reader sees it.
    pub checkpoint: String,
    /// Whether it was in the log already.
    pub duplicate: bool,
}

/// The answer to an append to several streams:
/// `{"streams":[{"stream":…,"first_version":0,"last_version":1}],"checkpoint":"0:2","duplicate":false}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppendsBody {
    /// One entry a write, in the order of the request.
    pub streams: Vec<StreamAppendedBody>,
    /// Not before this checkpoint a reader sees it all.
    pub checkpoint: String,
    /// Whether it was in the log already.
    pub duplicate: bool,
}

/// What one write of an append to several streams got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamAppendedBody {
    /// The stream.
    pub stream: String,
    /// The version of the first event.
    pub first_version: u64,
    /// The version of the last event.
    pub last_version: u64,
}

/// What is known of a stream: `{"stream":"account-1","version":4,"partition":0}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamBody {
    /// Its name.
    pub stream: String,
    /// The version of its last event.
    pub version: u64,
    /// The partition it lives in.
    pub partition: u16,
}

/// A page of streams: `{"streams":[…],"next":"17"}`; `next` is `null` at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamsBody {
    /// The streams, in the order in which they began.
    pub streams: Vec<StreamBody>,
    /// What to give as `after` for the next page.
    pub next: Option<String>,
}

/// The head of the log: `{"checkpoint":"0:1234"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeadBody {
    /// The head of every partition.
    pub checkpoint: String,
}

impl From<&Appended> for AppendBody {
    /// Of an append to one stream; of more, the first is shown.
    fn from(appended: &Appended) -> AppendBody {
        let StreamAppended { stream, first_version, last_version } = &appended.streams[0];
        AppendBody {
            stream: stream.to_string(),
            first_version: first_version.0,
            last_version: last_version.0,
            checkpoint: appended.checkpoint.to_string(),
            duplicate: appended.duplicate,
        }
    }
}

impl From<&Appended> for AppendsBody {
    fn from(appended: &Appended) -> AppendsBody {
        let stream = |written: &StreamAppended| StreamAppendedBody {
            stream: written.stream.to_string(),
            first_version: written.first_version.0,
            last_version: written.last_version.0,
        };
        AppendsBody {
            streams: appended.streams.iter().map(stream).collect(),
            checkpoint: appended.checkpoint.to_string(),
            duplicate: appended.duplicate,
        }
    }
}

impl From<&StreamInfo> for StreamBody {
    fn from(info: &StreamInfo) -> StreamBody {
        StreamBody { stream: info.stream.to_string(), version: info.version.0, partition: info.partition.0 }
    }
}

impl From<&StreamsPage> for StreamsBody {
    fn from(page: &StreamsPage) -> StreamsBody {
        StreamsBody {
            streams: page.streams.iter().map(StreamBody::from).collect(),
            next: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

impl From<&Checkpoint> for HeadBody {
    fn from(head: &Checkpoint) -> HeadBody {
        HeadBody { checkpoint: head.to_string() }
    }
}

/// One of the shapes of this module as JSON text.
pub fn to_string(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("text, numbers and lists of them are always JSON")
}

/// Reads a request to append to several streams:
///
/// ```text
/// {"writes":    [{"stream": "order-7", "expected": "none", "events": [{"type": "OrderPlaced", "data": {}}]}],
///  "condition": {"items": [{"types": [], "tags": ["seat:7"]}], "after": "0:5"},
///  "tracking":  {"name": "orders", "checkpoint": "0:5"},
///  "key":       "0198a9c2-7a10-7000-8000-000000000001"}
/// ```
///
/// Only `writes` is required; `expected` is `any` where it is absent. An item of a condition matches any of its types and
/// all of its tags, as [`condition`] reads it.
///
/// # Errors
/// The field that is wrong, like `writes[0].events[3].type`.
pub fn append_request(body: &[u8]) -> Result<Plain<AppendRequest>, InvalidAppend> {
    let Members(members) = object(body_text(body)?, At(""))?;
    let mut request = AppendRequest::default();
    let mut made_ids = false;
    for (name, value) in members {
        let is_absent = value.get() == "null";
        match &*name {
            "writes" => request.writes = writes(value, &mut made_ids)?,
            "condition" | "tracking" | "key" if is_absent => {}
            "condition" => request.condition = Some(condition(value.get().as_bytes())?),
            "tracking" => request.tracking = Some(tracking(value)?),
            "key" => request.key = text(value, "key", At(""))?.map(|key| parse_uuid(&key, "key")).transpose()?,
            _ => return Err(unknown(At(""), &name, "writes, condition, tracking, key")),
        }
    }
    Ok(Plain { content: request, made_ids })
}

/// Reads a condition, `{"items":[{"types":["A"],"tags":["seat:7"]}],"after":"0:5"}`; without `after` it looks at the whole log.
///
/// # Errors
/// The field that is wrong, like `condition.items[0].tags[1]`.
pub fn condition(json: &[u8]) -> Result<Condition, InvalidAppend> {
    let at = At("condition");
    let Members(members) = object(body_text(json)?, at)?;
    let mut condition = Condition { query: Query::default(), after: None };
    for (name, value) in members {
        match &*name {
            "items" => condition.query.items = items(value)?,
            "after" => {
                condition.after =
                    text(value, "after", at)?.map(|text| checkpoint(&text, "condition.after")).transpose()?
            }
            _ => return Err(unknown(at, &name, "items, after")),
        }
    }
    Ok(condition)
}

/// Reads an idempotency key or an id given as text; quotation marks around it are tolerated.
///
/// # Errors
/// That `field` is no UUID.
pub fn uuid(text: &str, field: &str) -> Result<Uuid, InvalidAppend> {
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    parse_uuid(bare, field)
}

fn unknown(at: At<'_>, name: &str, known: &str) -> InvalidAppend {
    InvalidAppend::new(at.member(name), format!("is not known here; the members are {known}"))
}

fn checkpoint(text: &str, field: &str) -> Result<Checkpoint, InvalidAppend> {
    text.parse().map_err(|error: pacioli_core::place::InvalidCheckpoint| InvalidAppend::new(field, error.to_string()))
}

fn writes(value: &RawValue, made_ids: &mut bool) -> Result<Vec<StreamWrite>, InvalidAppend> {
    let at = At("writes");
    let Elements(elements) = array(value.get(), at)?;
    elements.iter().enumerate().map(|(index, element)| write(element, At(&at.element(index)), made_ids)).collect()
}

fn write(value: &RawValue, at: At<'_>, made_ids: &mut bool) -> Result<StreamWrite, InvalidAppend> {
    let Members(members) = object(value.get(), at)?;
    let mut stream = None;
    let mut expected = ExpectedVersion::Any;
    let mut events = Vec::new();
    for (name, value) in members {
        match &*name {
            "stream" => stream = text(value, "stream", at)?,
            "expected" => {
                // A version may be written as a number or as text.
                let given = if value.get().starts_with('"') { text(value, "expected", at)? } else { None };
                let given = given.as_deref().unwrap_or(value.get());
                expected = match given {
                    "null" => ExpectedVersion::Any,
                    given => given
                        .parse()
                        .map_err(|error: InvalidAppend| InvalidAppend::new(at.member("expected"), error.problem))?,
                };
            }
            "events" => {
                let read = plain_event_list(value.get(), At(&at.member("events")))?;
                *made_ids |= read.made_ids;
                events = read.content;
            }
            _ => return Err(unknown(at, &name, "stream, expected, events")),
        }
    }
    let stream = stream.ok_or_else(|| InvalidAppend::new(at.member("stream"), "is missing"))?;
    let stream = StreamName::new(&*stream).map_err(|error| InvalidAppend::new(at.member("stream"), error.problem))?;
    Ok(StreamWrite { stream, expected, events })
}

fn items(value: &RawValue) -> Result<Vec<QueryItem>, InvalidAppend> {
    let at = At("condition.items");
    let Elements(elements) = match value.get().starts_with('[') {
        true => crate::object::read(value.get(), at)?,
        false => return Err(at.error("must be a list, like [{\"types\":[\"SeatTaken\"],\"tags\":[\"seat:7\"]}]")),
    };
    elements.iter().enumerate().map(|(index, element)| item(element, At(&at.element(index)))).collect()
}

fn item(value: &RawValue, at: At<'_>) -> Result<QueryItem, InvalidAppend> {
    let Members(members) = object(value.get(), at)?;
    let mut item = QueryItem::default();
    for (name, value) in members {
        let invalid = |(index, error): (usize, pacioli_core::InvalidName)| {
            InvalidAppend::new(At(&at.member(&name)).element(index), error.problem)
        };
        match &*name {
            "types" => {
                let types = texts(value, "types", at)?.into_iter().enumerate();
                let types = types.map(|(index, text)| EventType::new(&*text).map_err(|error| (index, error)));
                item.types = types.collect::<Result<_, _>>().map_err(invalid)?;
            }
            "tags" => {
                let tags = texts(value, "tags", at)?.into_iter().enumerate();
                let tags = tags.map(|(index, text)| Tag::new(&*text).map_err(|error| (index, error)));
                item.tags = tags.collect::<Result<_, _>>().map_err(invalid)?;
            }
            _ => return Err(unknown(at, &name, "types, tags")),
        }
    }
    Ok(item)
}

fn tracking(value: &RawValue) -> Result<Tracking, InvalidAppend> {
    let at = At("tracking");
    let Members(members) = object(value.get(), at)?;
    let mut name_of = None;
    let mut checkpoint_of = None;
    for (name, value) in members {
        match &*name {
            "name" => name_of = text(value, "name", at)?,
            "checkpoint" => checkpoint_of = text(value, "checkpoint", at)?,
            _ => return Err(unknown(at, &name, "name, checkpoint")),
        }
    }
    let missing = |name: &str| InvalidAppend::new(at.member(name), "is missing");
    let name = name_of.ok_or_else(|| missing("name"))?.into_owned();
    let checkpoint = checkpoint(&checkpoint_of.ok_or_else(|| missing("checkpoint"))?, "tracking.checkpoint")?;
    Ok(Tracking { name, checkpoint })
}
