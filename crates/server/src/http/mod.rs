//! HTTP: CloudEvents in and out, server-sent events, problems as RFC 9457 has them.
//!
//! [`routes`] is the one table of what there is and who may use it, [`around`] is what happens to every request, `append`,
//! `read`, `live`, `ask` and `projections` answer them, and `answer`, `body`, `models` and `query` are what these share.

mod answer;
mod append;
mod around;
mod ask;
mod body;
mod host;
mod live;
mod models;
mod operations;
mod pages;
mod projections;
mod query;
mod read;
mod revocation;
pub(crate) mod routes;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;

use crate::config::ServerLimits;
use crate::door::Door;
use crate::metrics::Metrics;
use crate::models::Models;
use crate::tokens::Tokens;
use answer::Failure;

/// What every handler shares.
pub(crate) struct App {
    pub(crate) store: Arc<Door>,
    pub(crate) models: Models,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: ServerLimits,
    pub(crate) tokens: Option<Arc<Tokens>>,
    /// Whether only the names of this machine are answered to, see [`host`].
    pub(crate) local_names_only: bool,
}

/// Everything the port speaks: HTTP, and gRPC as `grpc` has it.
pub(crate) fn router(app: Arc<App>, grpc: Router) -> Router {
    let http = routes::TABLE
        .iter()
        .filter_map(|row| Some((row.path, routes::handler(row)?)))
        .fold(Router::new(), |router, (path, handler)| router.route(path, handler))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Arc::clone(&app));
    http.merge(grpc).fallback(route_not_found).layer(axum::middleware::from_fn_with_state(app, around::around))
}

async fn route_not_found(request: Request) -> Response {
    answer::route_not_found(&request)
}

async fn method_not_allowed(State(_app): State<Arc<App>>, request: Request) -> Result<Response, Failure> {
    Err(answer::method_not_allowed(&request))
}
