//! Reads: pages as one document, or line by line for as long as there is something to send.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream;
use http::header::{CACHE_CONTROL, ETAG, LINK, VARY};
use http::{HeaderName, HeaderValue, StatusCode};
use pacioli_api::cloudevents::{self, Layout};
use pacioli_api::fields::Fields;
use pacioli_api::json::{StreamBody, StreamsBody};
use pacioli_api::problem::{Kind, Problem};
use pacioli_core::schemas::Shape;
use pacioli_core::{
    Checkpoint, Direction, EventStore, Filter, ListStreams, LogPage, Position, ReadError, ReadLog, ReadStream,
    RecordedEvent, StreamName, StreamPage, Subscribe, Version,
};

use pacioli_projection::engine::Moment;
use pacioli_projection::past::version_as_of;
use pacioli_projection::state::stream_state;

use super::answer::{self, Failure};
use super::append::stream_name;
use super::query::{Format, Query, is_known, resume};
use super::{App, live};
use crate::shapes::Reading;

/// Where to go on reading the log: everything up to here was looked at.
const CHECKPOINT: HeaderName = HeaderName::from_static("pacioli-checkpoint");

/// Which way the events of other writers come: `memory`, `slot` or `polling`.
const BUS: HeaderName = HeaderName::from_static(pacioli_api::wire::BUS);

/// `GET /v1/streams/{stream}/events`
pub(super) async fn stream_events(
    State(app): State<Arc<App>>,
    stream: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Failure> {
    let bus = bus(&app);
    Ok(with_headers(stream_pages(app, stream_name(stream)?, request).await?, [bus]))
}

async fn stream_pages(app: Arc<App>, stream: StreamName, request: Request) -> Result<Response, Failure> {
    const KNOWN: [&str; 9] = ["from", "limit", "direction", "fields", "as_of", "raw", "accept", "on_newer", "reader"];
    let query = Query::read(&request, &KNOWN)?;
    let fields = query.fields()?;
    let reading = query.reading(app.limits.store.query_terms_max)?;
    let mut from = query.number("from")?.map(Version);
    let as_of = super::models::moment(query.one("as_of")?, None)?;
    let direction = match query.one("direction")? {
        None | Some("forward") => Direction::Forward,
        Some("backward") => Direction::Backward,
        Some(_) => return Err(Problem::invalid("direction", "must be `forward` or `backward`").into()),
    };
    let format = Format::accepted(request.headers())?;
    if format == Format::Live {
        if direction == Direction::Backward {
            return Err(Problem::invalid("direction", "a live stream only goes forward").into());
        }
        if as_of.is_some() {
            return Err(Problem::invalid("as_of", "a live stream goes on; ask for another media type").into());
        }
        let subscribe = Subscribe {
            after: resume(request.headers(), &query)?,
            filter: Filter { stream_prefix: Some(stream.as_str().to_owned()), ..Filter::default() },
            payload: fields.payload(),
            ..live::subscribe(&app)
        };
        let reading = Reading { only: Some((stream.clone(), from.unwrap_or(Version::FIRST))), ..reading };
        let store = app.view(reading)?;
        // The filter lets longer names through too.
        let is_asked_for =
            move |event: &RecordedEvent| event.stream == stream && from.is_none_or(|from| event.version >= from);
        return live::follow(&*store, subscribe, fields, query.limit_given()?, is_asked_for).await;
    }
    let may_lift = app.may_lift(&reading.shape);
    let store = app.view(reading)?;
    let mut limit = query.limit()?;
    let last = match as_of {
        Some(moment) => Some(last_version(&app, &stream, &moment).await?),
        None => None,
    };
    let payload = fields.payload();
    if let Some(last) = last {
        match direction {
            Direction::Backward => from = Some(from.unwrap_or(last).min(last)),
            Direction::Forward => {
                let left = (last.0 + 1).saturating_sub(from.unwrap_or(Version::FIRST).0);
                if left == 0 {
                    return Ok(document(format, &[], &fields));
                }
                limit = limit.min(usize::try_from(left).unwrap_or(usize::MAX));
            }
        }
    }
    let mut read = ReadStream { stream, from, direction, limit: page_limit(&app, limit), payload };
    let page = store.read_stream(read.clone()).await?;
    let version = last.unwrap_or(page.version);
    let tag = HeaderValue::from_str(&format!("\"{version}\"")).ok();
    // What was lifted may look different today though the stream is the same.
    if !may_lift && is_known(request.headers(), version) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(with_headers(response, [(ETAG, tag)]));
    }
    let link = |next: Option<Version>| {
        let link = next.map(|next| query.next_link(request.uri().path(), "from", &next.to_string()));
        link.and_then(|link| HeaderValue::from_str(&link).ok())
    };
    let (response, next) = match format {
        Format::Lines if page.next.is_some() && page.events.len() < limit => {
            read.limit = limit;
            (lines(StreamLines { app, store, fields, read, first: Some(page) }), None)
        }
        _ => (document(format, &page.events, &fields), page.next),
    };
    let is_there = |next: &Version| direction == Direction::Backward || last.is_none_or(|last| *next <= last);
    Ok(with_headers(response, [(ETAG, tag), (LINK, link(next.filter(is_there)))]))
}

/// The last version a stream had at a moment; one whose first event is later is not found.
async fn last_version(app: &App, stream: &StreamName, moment: &Moment) -> Result<Version, Failure> {
    let version = version_as_of(&*app.store, stream, moment).await?;
    Ok(version.ok_or_else(|| nothing_then(stream))?)
}

fn nothing_then(stream: &StreamName) -> Problem {
    let detail = format!("stream `{stream}` had no event then; ask for a later moment");
    Problem::new(Kind::StreamNotFound, detail).with("stream", stream.as_str())
}

/// The body of `GET /v1/streams/{stream}/state`.
#[derive(serde::Serialize)]
struct StateBody<'a> {
    stream: &'a str,
    /// Of the last event that counts.
    version: u64,
    state: Box<serde_json::value::RawValue>,
    events: u64,
    checkpoint: Option<String>,
}

/// `GET /v1/streams/{stream}/state`
pub(super) async fn state(
    State(app): State<Arc<App>>,
    stream: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Failure> {
    let stream = stream_name(stream)?;
    let query = Query::read(&request, &["as_of", "as_of_occurred"])?;
    let moment = super::models::moment(query.one("as_of")?, query.one("as_of_occurred")?)?;
    let state = stream_state(&*app.view(Reading::default())?, &stream, moment.as_ref()).await?;
    let version = state.version.ok_or_else(|| nothing_then(&stream))?;
    let tag = HeaderValue::from_str(&format!("\"{version}\"")).ok().filter(|_| moment.is_none());
    if moment.is_none() && !app.may_lift(&Shape::default()) && is_known(request.headers(), version) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(with_headers(response, [(ETAG, tag)]));
    }
    let body = StateBody {
        stream: stream.as_str(),
        version: version.0,
        state: serde_json::value::RawValue::from_string(state.state).unwrap_or_default(),
        events: state.events,
        checkpoint: state.checkpoint.map(|checkpoint| checkpoint.to_string()),
    };
    let response = answer::json(StatusCode::OK, &body);
    Ok(with_headers(response, [(ETAG, tag), (CACHE_CONTROL, Some(HeaderValue::from_static("no-cache")))]))
}

/// `GET /v1/events`
pub(super) async fn log_events(State(app): State<Arc<App>>, request: Request) -> Result<Response, Failure> {
    let bus = bus(&app);
    Ok(with_headers(log_pages(app, request).await?, [bus]))
}

async fn log_pages(app: Arc<App>, request: Request) -> Result<Response, Failure> {
    const KNOWN: [&str; 10] =
        ["after", "category", "type", "tag", "limit", "fields", "raw", "accept", "on_newer", "reader"];
    let query = Query::read(&request, &KNOWN)?;
    let fields = query.fields()?;
    let store = app.view(query.reading(app.limits.store.query_terms_max)?)?;
    let after = resume(request.headers(), &query)?;
    let filter = filter(&app, &query)?;
    let payload = fields.payload();
    let format = Format::accepted(request.headers())?;
    if format == Format::Live {
        let subscribe = Subscribe { after, filter, payload, ..live::subscribe(&app) };
        return live::follow(&*store, subscribe, fields, query.limit_given()?, |_| true).await;
    }
    let limit = query.limit()?;
    let mut read = ReadLog { after, filter, limit: page_limit(&app, limit), payload };
    let page = match next_log_page(&*store, &mut read).await {
        Err(error @ ReadError::Withheld(_)) => return Err(stopped(&app, &error, read.after).await?),
        page => page?,
    };
    let next = (!page.at_head()).then(|| page.checkpoint.to_string());
    let is_long = next.is_some() && page.events.len() < limit;
    if format == Format::Lines && is_long {
        read.limit = limit;
        return Ok(lines(LogLines { app, store, fields, read, first: Some(page) }));
    }
    let link = next.map(|next| query.next_link(request.uri().path(), "after", &next));
    let link = link.and_then(|link| HeaderValue::from_str(&link).ok());
    let checkpoint = HeaderValue::from_str(&page.checkpoint.to_string()).ok();
    Ok(with_headers(document(format, &page.events, &fields), [(LINK, link), (CHECKPOINT, checkpoint)]))
}

/// `GET /v1/streams`
pub(super) async fn streams(State(app): State<Arc<App>>, request: Request) -> Result<Response, Failure> {
    let query = Query::read(&request, &["category", "prefix", "after", "limit"])?;
    let list = ListStreams {
        category: query.parse("category")?,
        prefix: query.one("prefix")?.map(str::to_owned),
        after: query.number("after")?,
        limit: page_limit(&app, query.limit()?),
    };
    let page = app.store.list_streams(list).await?;
    let link = page.next.map(|next| query.next_link(request.uri().path(), "after", &next.to_string()));
    let link = link.and_then(|link| HeaderValue::from_str(&link).ok());
    Ok(with_headers(answer::json(StatusCode::OK, &StreamsBody::from(&page)), [(LINK, link)]))
}

/// `GET /v1/streams/{stream}`
pub(super) async fn stream(
    State(app): State<Arc<App>>,
    stream: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Failure> {
    let stream = stream_name(stream)?;
    Query::read(&request, &[])?;
    let Some(info) = app.store.stream(&stream).await? else {
        return Err(ReadError::StreamNotFound { stream }.into());
    };
    let tag = HeaderValue::from_str(&format!("\"{}\"", info.version)).ok();
    let response = if is_known(request.headers(), info.version) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        answer::json(StatusCode::OK, &StreamBody::from(&info))
    };
    Ok(with_headers(response, [(ETAG, tag)]))
}

fn filter(app: &App, query: &Query<'_>) -> Result<Filter, Problem> {
    let filter = Filter {
        categories: query.parse_all("category")?,
        stream_prefix: None,
        types: query.parse_all("type")?,
        tags: query.parse_all("tag")?,
    };
    let max = app.limits.store.query_terms_max;
    for (name, count) in
        [("category", filter.categories.len()), ("type", filter.types.len()), ("tag", filter.tags.len())]
    {
        if count > max {
            return Err(Problem::invalid(name, format!("is given {count} times; at most {max} are allowed")));
        }
    }
    Ok(filter)
}

fn bus(app: &App) -> (HeaderName, Option<HeaderValue>) {
    (BUS, Some(HeaderValue::from_static(app.store.bus().word())))
}

fn page_limit(app: &App, limit: usize) -> usize {
    limit.min(app.limits.store.page_events_max)
}

fn with_headers<const N: usize>(mut response: Response, headers: [(HeaderName, Option<HeaderValue>); N]) -> Response {
    for (name, value) in headers {
        if let Some(value) = value {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The answer to a read of events: never kept by a cache without asking, and different by `Accept`.
fn events_answer(format: Format, body: impl Into<Body>) -> Response {
    let response = answer::body(StatusCode::OK, format.media_type(), body);
    let header = |value| Some(HeaderValue::from_static(value));
    with_headers(response, [(CACHE_CONTROL, header("no-cache")), (VARY, header("accept"))])
}

/// A page as one body.
fn document(format: Format, events: &[Arc<RecordedEvent>], fields: &Fields) -> Response {
    if format == Format::Lines {
        return events_answer(format, written_lines(events, fields));
    }
    let mut body = vec![b'['];
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        cloudevents::write(&mut body, event, fields, Layout::Document);
    }
    body.push(b']');
    events_answer(format, body)
}

fn written_lines(events: &[Arc<RecordedEvent>], fields: &Fields) -> Bytes {
    let mut lines = Vec::new();
    for event in events {
        cloudevents::write(&mut lines, event, fields, Layout::Line);
        lines.push(b'\n');
    }
    lines.into()
}

/// A page with at least one event, or one that reaches the head: a filter may match nothing for long.
async fn next_log_page(store: &dyn EventStore, read: &mut ReadLog) -> Result<LogPage, ReadError> {
    loop {
        let page = store.read_log(read.clone()).await?;
        read.after = Some(page.checkpoint.clone());
        if !page.events.is_empty() || page.at_head() {
            return Ok(page);
        }
    }
}

/// Why a reader has to stop, with where it goes on once it understands more.
async fn stopped(app: &App, error: &ReadError, after: Option<Checkpoint>) -> Result<Failure, Failure> {
    let after = match after {
        Some(after) => after,
        None => {
            let head = app.store.head().await?;
            Checkpoint::new(head.iter().map(|_| Position(0)), head.epoch())
        }
    };
    Ok(Problem::from(error).with("checkpoint", after.to_string()).into())
}

/// A read that goes on page by page until its limit or the end.
trait Pages: Send + 'static {
    /// The next events as text; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, ReadError>> + Send;

    /// Where a reader goes on that has to stop.
    fn resume(&self) -> Option<&Checkpoint>;
}

/// One event a line, for as long as there are some. What fails in the middle breaks the connection, so that nobody takes a
/// part for the whole. Where the reader does not understand what follows, the last line is the problem and no event: an end
/// would look like the head, and a connection that breaks may take with it what was not read yet.
fn lines<P: Pages>(pages: P) -> Response {
    let chunks = stream::try_unfold(Some(pages), |pages| async {
        let Some(mut pages) = pages else { return Ok::<_, ReadError>(None) };
        match pages.next().await {
            Err(error @ ReadError::Withheld(_)) => {
                let problem = Problem::from(&error);
                let problem = match pages.resume() {
                    Some(checkpoint) => problem.with("checkpoint", checkpoint.to_string()),
                    None => problem,
                };
                Ok(Some((Bytes::from(problem.to_json() + "\n"), None)))
            }
            chunk => Ok(chunk?.map(|chunk| (chunk, Some(pages)))),
        }
    });
    let chunks = chunks.inspect_err(|error| tracing::error!(%error, "a read failed in the middle of its answer"));
    events_answer(Format::Lines, Body::from_stream(chunks))
}

struct LogLines {
    app: Arc<App>,
    store: Arc<dyn EventStore>,
    fields: Fields,
    /// `limit` is what is still to be sent.
    read: ReadLog,
    first: Option<LogPage>,
}

impl Pages for LogLines {
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let page = match self.first.take() {
            Some(page) => page,
            None if self.read.limit == 0 => return Ok(None),
            None => {
                let mut read = self.read.clone();
                read.limit = page_limit(&self.app, read.limit);
                let page = next_log_page(&*self.store, &mut read).await?;
                self.read.after = read.after;
                page
            }
        };
        self.read.limit -= page.events.len();
        if page.at_head() {
            self.read.limit = 0;
        }
        // An empty page is the head: the loop above asks for no other.
        Ok((!page.events.is_empty()).then(|| written_lines(&page.events, &self.fields)))
    }

    fn resume(&self) -> Option<&Checkpoint> {
        self.read.after.as_ref()
    }
}

struct StreamLines {
    app: Arc<App>,
    store: Arc<dyn EventStore>,
    fields: Fields,
    /// `limit` is what is still to be sent.
    read: ReadStream,
    first: Option<StreamPage>,
}

impl Pages for StreamLines {
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            let page = match self.first.take() {
                Some(page) => page,
                None if self.read.limit == 0 => return Ok(None),
                None => {
                    let limit = page_limit(&self.app, self.read.limit);
                    self.store.read_stream(ReadStream { limit, ..self.read.clone() }).await?
                }
            };
            self.read.limit -= page.events.len();
            match page.next {
                Some(next) => self.read.from = Some(next),
                None => self.read.limit = 0,
            }
            // A page may be empty though others follow, where its events are passed over.
            if !page.events.is_empty() {
                return Ok(Some(written_lines(&page.events, &self.fields)));
            }
        }
    }

    fn resume(&self) -> Option<&Checkpoint> {
        None
    }
}
