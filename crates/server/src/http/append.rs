//! Appends: to one stream with preconditions in headers, and to several with everything in the body.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::header::{ETAG, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use pacioli_api::cloudevents;
use pacioli_api::import::{self, CloudEvent, Plain};
use pacioli_api::json::{AppendBody, AppendsBody};
use pacioli_api::problem::{Kind, Problem};
use pacioli_core::{
    AppendError, AppendOutcome, AppendRequest, Appended, EventStore, NewEvent, StreamName, StreamWrite,
};
use uuid::Uuid;

use super::answer::{Failure, json};
use super::query::{header, precondition};
use super::{App, body};

/// `POST /v1/streams/{stream}/events`
pub(super) async fn to_one_stream(
    State(app): State<Arc<App>>,
    stream: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Failure> {
    let stream = stream_name(stream)?;
    let precondition = precondition(request.headers())?;
    let key = key(request.headers())?;
    let media_type = body::media_type(&request)?;
    let is_list = media_type != cloudevents::MEDIA_TYPE;
    let is_cloud_event = media_type != "application/json";
    let read = match media_type.as_str() {
        "application/json" => {
            |body: &[u8], _: &StreamName| import::plain_events(body).map_err(|e| Failure::from(Problem::from(&e)))
        }
        cloudevents::MEDIA_TYPE => |body: &[u8], stream: &StreamName| {
            let event = import::cloud_event(body).map_err(|e| Problem::from(&e))?;
            let content = belonging(vec![event], stream, |_| "subject".to_owned())?;
            Ok(Plain { content, made_ids: false })
        },
        cloudevents::MEDIA_TYPE_BATCH => |body: &[u8], stream: &StreamName| {
            let events = import::cloud_events(body).map_err(|e| Problem::from(&e))?;
            let content = belonging(events, stream, |index| format!("[{index}].subject"))?;
            Ok(Plain { content, made_ids: false })
        },
        _ => return Err(unsupported(&media_type, &[cloudevents::MEDIA_TYPE, cloudevents::MEDIA_TYPE_BATCH])),
    };
    let Plain { content: events, made_ids } = read(&body::read(&app, request).await?, &stream)?;
    let write = StreamWrite { stream, expected: precondition.unwrap_or_default(), events };
    let append = AppendRequest { key, writes: vec![write], ..AppendRequest::default() };
    let in_body = |problem: Problem| {
        let problem = problem.in_one_stream(is_list);
        let problem = if is_cloud_event { problem.in_cloud_events() } else { problem };
        Failure::from(if precondition.is_some() { problem.by_precondition_header() } else { problem })
    };
    let appended = append_or_say_why(&app, append, made_ids).await.map_err(in_body)?;
    let mut response = json(status(&appended), &AppendBody::from(&appended));
    let version = appended.streams.first().map(|written| written.last_version);
    if let Some(tag) = version.and_then(|version| HeaderValue::from_str(&format!("\"{version}\"")).ok()) {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

/// `POST /v1/appends`
pub(super) async fn to_several_streams(State(app): State<Arc<App>>, request: Request) -> Result<Response, Failure> {
    if precondition(request.headers())?.is_some() {
        return Err(Problem::invalid("If-Match", "says nothing of several streams; use `expected` in the body").into());
    }
    let key = key(request.headers())?;
    let media_type = body::media_type(&request)?;
    if media_type != "application/json" {
        return Err(unsupported(&media_type, &[]));
    }
    let body = body::read(&app, request).await?;
    let read = pacioli_api::json::append_request(&body).map_err(|error| Problem::from(&error))?;
    let Plain { content: mut append, made_ids } = read;
    match (key, append.key) {
        (Some(header), Some(in_body)) if header != in_body => {
            return Err(Problem::invalid("key", "is another than that of the Idempotency-Key header").into());
        }
        (header, in_body) => append.key = in_body.or(header),
    }
    let appended = append_or_say_why(&app, append, made_ids).await?;
    Ok(json(status(&appended), &AppendsBody::from(&appended)))
}

/// Appends. `made_ids` tells that sending the same body again would make other events of it.
async fn append_or_say_why(app: &App, append: AppendRequest, made_ids: bool) -> Result<Appended, Problem> {
    let is_recognised = append.key.is_some() || !made_ids;
    match app.store.append(append).await {
        Ok(AppendOutcome::Appended(appended)) => Ok(appended),
        Ok(AppendOutcome::Conflict(conflict)) => Err(Problem::from(&conflict)),
        Ok(AppendOutcome::Refused(refusal)) => Err(Problem::from(&refusal)),
        Err(AppendError::Unknown { reason }) if !is_recognised => Err(Problem::unknown_without_ids(&reason)),
        Err(error) => Err(Problem::from(&error)),
    }
}

fn status(appended: &Appended) -> StatusCode {
    if appended.duplicate { StatusCode::OK } else { StatusCode::CREATED }
}

/// The stream that the path names.
pub(super) fn stream_name(stream: Result<Path<String>, PathRejection>) -> Result<StreamName, Problem> {
    let Path(name) =
        stream.map_err(|_| Problem::invalid("stream", "is not UTF-8 once its percent signs are resolved"))?;
    StreamName::new(name).map_err(|error| Problem::invalid("stream", error.problem))
}

/// The `Idempotency-Key`.
fn key(headers: &HeaderMap) -> Result<Option<Uuid>, Problem> {
    const NAME: &str = "Idempotency-Key";
    header(headers, &HeaderName::from_static("idempotency-key"))?
        .map(|text| pacioli_api::json::uuid(text, NAME).map_err(|error| Problem::from(&error)))
        .transpose()
}

/// The events, where none says that it belongs to another stream.
fn belonging(
    events: Vec<CloudEvent>,
    stream: &StreamName,
    field: impl Fn(usize) -> String,
) -> Result<Vec<NewEvent>, Failure> {
    let event = |(index, event): (usize, CloudEvent)| match event.subject {
        Some(subject) if subject != stream.as_str() => {
            let problem = format!("is `{}` and the URL says `{stream}`", pacioli_api::text::shown(&subject));
            Err(Problem::invalid(field(index), problem).into())
        }
        _ => Ok(event.event),
    };
    events.into_iter().enumerate().map(event).collect()
}

pub(super) fn unsupported(media_type: &str, others: &[&str]) -> Failure {
    let mut known = vec!["application/json"];
    known.extend(others);
    let given = if media_type.is_empty() { "no Content-Type".to_owned() } else { pacioli_api::text::shown(media_type) };
    Problem::new(Kind::UnsupportedMediaType, format!("the body has {given}; send {}", known.join(", "))).into()
}
