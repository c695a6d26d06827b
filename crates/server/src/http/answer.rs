//! Answers that handlers share: problems, and bodies with their media type.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode};
use pacioli_api::problem::{self, Kind, Problem};
use pacioli_core::{AppendError, ReadError};

use super::routes::{GRPC, Row, TABLE, rows_of};

/// An answer that is a problem.
#[derive(Debug)]
pub(crate) struct Failure {
    problem: Problem,
    headers: Vec<(http::HeaderName, HeaderValue)>,
}

impl Failure {
    /// A bug, or a task of ours that broke.
    pub(crate) fn internal(detail: &str) -> Failure {
        Problem::new(Kind::Internal, detail).into()
    }

    /// The problem as JSON, for an answer that began well.
    pub(crate) fn told(&self) -> serde_json::Value {
        serde_json::from_str(&self.problem.to_json()).unwrap_or_default()
    }

    /// Adds a header to the answer.
    pub(crate) fn header(mut self, name: http::HeaderName, value: &str) -> Failure {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

/// What a problem says, beside an answer that tells it: for whoever tells it in another form.
#[derive(Clone, Debug)]
pub(crate) struct Detail(pub(crate) Arc<str>);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        Failure { problem, headers: Vec::new() }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Failure {
        if matches!(error, ReadError::Damaged { .. } | ReadError::Store(_)) {
            tracing::error!(%error, "a read failed");
        }
        Problem::from(&error).into()
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Failure {
        Problem::from(&error).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = body(status, problem::MEDIA_TYPE, self.problem.to_json());
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(retry_after) = self.problem.retry_after() {
            // The header counts in whole seconds; `retry_after_ms` in the body is exact.
            let seconds = retry_after.as_millis().div_ceil(1000).max(1);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(1)));
        }
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response.extensions_mut().insert(Detail(self.problem.detail().into()));
        response
    }
}

/// An answer with a body of a media type.
pub(crate) fn body(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, shape: &impl serde::Serialize) -> Response {
    body(status, "application/json", pacioli_api::json::to_string(shape))
}

/// Whether a request speaks gRPC.
pub(crate) fn is_grpc(request: &Request) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// An answer in gRPC's way, which is always 200 and says the rest in headers.
pub(crate) fn grpc_status(code: u16, message: &str) -> Response {
    let mut response = body(StatusCode::OK, "application/grpc", Body::empty());
    response.headers_mut().insert("grpc-status", HeaderValue::from(code));
    if let Ok(message) = HeaderValue::from_str(message) {
        response.headers_mut().insert("grpc-message", message);
    }
    response
}

/// There is no such path: names those that are near.
pub(super) fn route_not_found(request: &Request) -> Response {
    if is_grpc(request) {
        return grpc_status(12, "there is no such method");
    }
    let path = request.uri().path();
    let near = nearest(path);
    let detail = format!("there is no `{}`; near it are {}", pacioli_api::text::shown(path), near.join(", "));
    Failure::from(Problem::new(Kind::RouteNotFound, detail).with("routes", near)).into_response()
}

/// The path is there, but not with this method.
pub(super) fn method_not_allowed(request: &Request) -> Failure {
    let matched = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let mut allowed: Vec<&str> = rows_of(matched).map(|row| row.method).collect();
    if allowed.contains(&Method::GET.as_str()) {
        allowed.push(Method::HEAD.as_str());
    }
    let allowed = allowed.join(", ");
    let detail = format!("`{matched}` knows {allowed} and not {}", request.method());
    Failure::from(Problem::new(Kind::MethodNotAllowed, detail)).header(ALLOW, &allowed)
}

/// The three routes that share most with `path`.
fn nearest(path: &str) -> Vec<String> {
    let shared = |row: &&Row| {
        let pairs = path.split('/').zip(row.path.split('/'));
        let matching = pairs.take_while(|(given, known)| given == known || known.starts_with('{')).count();
        let letters = path.bytes().zip(row.path.bytes()).take_while(|(a, b)| a == b).count();
        std::cmp::Reverse((matching, letters))
    };
    let mut rows: Vec<&Row> = TABLE.iter().filter(|row| row.method != GRPC).collect();
    rows.sort_by_key(shared);
    rows.iter().take(3).map(|row| format!("{} {}", row.method, row.path)).collect()
}
