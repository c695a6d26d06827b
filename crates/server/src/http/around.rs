//! What happens to every request, HTTP and gRPC alike: an id, the token, a deadline, the log line and the counts.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method};
use pacioli_api::problem::{Kind, Problem};
use tracing::Instrument;
use uuid::Uuid;

use super::App;
use super::answer::{Failure, grpc_status, is_grpc};
use super::host;
use super::models::Actor;
use super::query::Format;
use super::revocation::{Ending, until_revoked};
use super::routes::{GRPC, Lasts, Row, grpc_row, rows_of};
use super::schema_registry;
use crate::metrics::{RequestLabel, RouteLabel};
use crate::tokens::{Bearer, Role, Tokens, Used};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The layer around everything.
pub(super) async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = request_id(&request);
    let asked = Asked::of(&request);
    let method = method(request.method());
    let span = tracing::info_span!("request", id = %request_id.to_str().unwrap_or(""), method, route = asked.route);
    let is_registry = schema_registry::is_below(request.uri().path());
    let mut response = answer(&app, &asked, request, next).instrument(span.clone()).await;
    if is_registry {
        response = schema_registry::translated(response);
    }
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    app.metrics.requests.get_or_create(&RequestLabel { method, route: asked.route, status }).inc();
    app.metrics.request_seconds.get_or_create(&RouteLabel { route: asked.route }).observe(elapsed.as_secs_f64());
    let latency_us = elapsed.as_micros() as u64;
    // A line a good request would drown the others at tens of thousands a second; at level debug they are shown. A stream
    // that is not there and a conflict are good answers too.
    match status {
        404 | 409 | 412 => span.in_scope(|| tracing::debug!(status, latency_us, "answered")),
        500.. => span.in_scope(|| tracing::warn!(status, latency_us, "answered")),
        400.. => span.in_scope(|| tracing::info!(status, latency_us, "answered")),
        _ => span.in_scope(|| tracing::debug!(status, latency_us, "answered")),
    }
    response.headers_mut().insert(REQUEST_ID, request_id);
    response
}

async fn answer(app: &Arc<App>, asked: &Asked, request: Request, next: Next) -> Response {
    let is_grpc = is_grpc(&request);
    if app.local_names_only
        && let Some(refusal) = host::refusal(&request)
    {
        return refusal;
    }
    let mut request = request;
    let used = match authorize(app, asked, &request) {
        Ok(None) => None,
        Ok(Some((used, bearer))) => {
            request.extensions_mut().insert(bearer.role);
            request.extensions_mut().insert(Actor(Some(bearer.name)));
            Some(used)
        }
        Err(refused) => return refused.answer(is_grpc),
    };
    // A token that is taken away ends what it let in.
    let guard = app.tokens.as_ref().zip(used);
    let request = match (guard, asked.lasts) {
        (Some((tokens, used)), Lasts::WhileAsked) => {
            request.map(|body| until_revoked(tokens, used, Ending::Requests, body))
        }
        _ => request,
    };
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
    // The table says what it is and not the content type, which anybody can claim.
    let handled = match asked.lasts {
        Lasts::AsLongAsItTakes | Lasts::UntilItsDeadline => Ok(handled.await),
        _ => tokio::time::timeout(app.limits.request_timeout, handled).await,
    };
    match handled {
        Ok(Ok(response)) => match (guard, ending(asked, &response)) {
            (Some((tokens, used)), Some(ending)) => response.map(|body| until_revoked(tokens, used, ending, body)),
            _ => response,
        },
        Ok(Err(_)) if is_grpc => grpc_status(13, "the server failed; its log says more"),
        Ok(Err(_)) => {
            tracing::error!("a handler panicked");
            Failure::from(Problem::new(Kind::Internal, "the server failed; its log says more")).into_response()
        }
        Err(_) => {
            let seconds = app.limits.request_timeout.as_secs();
            let detail = format!(
                "no answer within {seconds} s; an append may be sent again as it was if its events had ids or it had a key, \
                 else read the stream first"
            );
            if is_grpc {
                return grpc_status(4, &detail);
            }
            Failure::from(Problem::retry(Kind::Timeout, detail)).into_response()
        }
    }
}

/// How the answer ends when its token does; `None` where it is short.
fn ending(asked: &Asked, response: &Response) -> Option<Ending> {
    let content_type = || response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    match asked.lasts {
        Lasts::WhileAnswering | Lasts::AsLongAsItTakes if asked.is_grpc => Some(Ending::Status),
        Lasts::WhileAnswering => Some(Ending::Break),
        // Its requests end, and then it.
        Lasts::WhileAsked | Lasts::AsLongAsItTakes | Lasts::UntilItsDeadline => None,
        Lasts::Shortly => (content_type() == Some(Format::Live.media_type().as_bytes())).then_some(Ending::Event),
    }
}

/// The caller's id of the request, where it is short and plain, or a new one.
fn request_id(request: &Request) -> HeaderValue {
    let given = request.headers().get(REQUEST_ID);
    let is_plain = |value: &&HeaderValue| {
        (1..=64).contains(&value.len())
            && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    };
    given.filter(is_plain).cloned().unwrap_or_else(|| {
        let mut text = Uuid::encode_buffer();
        HeaderValue::from_str(Uuid::now_v7().hyphenated().encode_lower(&mut text))
            .unwrap_or_else(|_| HeaderValue::from_static("none"))
    })
}

/// The method as a label: an endless choice of them must not become an endless choice of series.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// What a request asks for, by the table of routes.
struct Asked {
    route: &'static str,
    lasts: Lasts,
    needs: Needs,
    is_grpc: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Role(Role),
}

impl Asked {
    fn of(request: &Request) -> Asked {
        if let Some(row) = grpc_row(request.uri().path()) {
            return Asked::by(row);
        }
        let Some(matched) = request.extensions().get::<MatchedPath>() else {
            // The answer will be that there is no such path.
            return Asked { route: "none", lasts: Lasts::Shortly, needs: Needs::Nothing, is_grpc: false };
        };
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let mut rows = rows_of(matched.as_str()).peekable();
        match (rows.peek(), rows_of(matched.as_str()).find(|row| row.method == method.as_str())) {
            (_, Some(row)) => Asked::by(row),
            // The answer will be that the path does not know the method.
            (Some(row), None) => {
                Asked { route: row.path, lasts: Lasts::Shortly, needs: Needs::Nothing, is_grpc: false }
            }
            // A route that nobody put into the table is closed.
            (None, None) => {
                let needs = Needs::Role(Role::Admin);
                Asked { route: "none", lasts: Lasts::Shortly, needs, is_grpc: false }
            }
        }
    }

    fn by(row: &'static Row) -> Asked {
        let needs = row.needs.map_or(Needs::Nothing, Needs::Role);
        Asked { route: row.path, lasts: row.lasts, needs, is_grpc: row.method == GRPC }
    }
}

/// Why a request may not do what it asks.
enum Refused {
    NoToken,
    UnknownToken,
    Role { bearer: Bearer, needs: Role },
}

/// Lets a request in, or not; with the token that did where one is needed, and whose it is.
fn authorize(app: &App, asked: &Asked, request: &Request) -> Result<Option<(Used, Bearer)>, Refused> {
    let (Some(tokens), Needs::Role(needs)) = (&app.tokens, asked.needs) else { return Ok(None) };
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let is_registry = schema_registry::is_below(request.uri().path());
    let secret = header.and_then(|header| header.split_once(' ')).and_then(|(scheme, secret)| match scheme {
        _ if scheme.eq_ignore_ascii_case("bearer") => Some(Cow::Borrowed(secret.trim())),
        _ if is_registry && scheme.eq_ignore_ascii_case("basic") => schema_registry::password(secret).map(Cow::Owned),
        _ => None,
    });
    let secret = &*secret.ok_or(Refused::NoToken)?;
    let bearer = tokens.bearer(secret).ok_or(Refused::UnknownToken)?;
    if bearer.role < needs {
        return Err(Refused::Role { bearer, needs });
    }
    tracing::debug!(bearer = bearer.name, "let in");
    Ok(Some((Tokens::used(secret, needs), bearer)))
}

impl Refused {
    fn answer(self, is_grpc: bool) -> Response {
        let (kind, detail, challenge) = match self {
            Refused::NoToken => (
                Kind::Unauthenticated,
                "this needs a token: send `Authorization: Bearer TOKEN`".to_owned(),
                "Bearer realm=\"pacioli\"",
            ),
            Refused::UnknownToken => (
                Kind::Unauthenticated,
                "the token is not known here".to_owned(),
                "Bearer realm=\"pacioli\", error=\"invalid_token\"",
            ),
            Refused::Role { bearer, needs } => (
                Kind::Forbidden,
                format!("this needs the role `{needs}`; the token of `{}` has `{}`", bearer.name, bearer.role),
                "Bearer realm=\"pacioli\", error=\"insufficient_scope\"",
            ),
        };
        tracing::info!(reason = detail, "refused");
        if is_grpc {
            return grpc_status(if kind == Kind::Forbidden { 7 } else { 16 }, &detail);
        }
        let failure = Failure::from(Problem::new(kind, detail));
        match kind {
            Kind::Forbidden => failure.into_response(),
            _ => failure.header(WWW_AUTHENTICATE, challenge).into_response(),
        }
    }
}
