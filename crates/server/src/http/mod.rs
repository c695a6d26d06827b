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
pub(crate) mod models;
mod operations;
mod pages;
mod projections;
mod query;
mod read;
mod readers;
mod revocation;
pub(crate) mod routes;
mod schema_registry;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use pacioli_api::problem::{Kind, Problem};
use pacioli_core::EventStore;
use pacioli_core::schemas::Shape;

use crate::config::ServerLimits;
use crate::door::Door;
use crate::metrics::Metrics;
use crate::models::Models;
use crate::schemas::Registry;
use crate::shapes::Reading;
use crate::tokens::Tokens;
use answer::Failure;

/// What every handler shares.
pub(crate) struct App {
    pub(crate) store: Arc<Door>,
    pub(crate) models: Models,
    pub(crate) schemas: Option<Registry>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: ServerLimits,
    pub(crate) tokens: Option<Arc<Tokens>>,
    /// Whether only the names of this machine are answered to, see [`host`].
    pub(crate) local_names_only: bool,
}

impl App {
    /// The store as somebody reads it.
    fn view(&self, reading: Reading) -> Result<Arc<dyn EventStore>, Problem> {
        let store = Arc::clone(&self.store) as Arc<dyn EventStore>;
        match &self.schemas {
            Some(schemas) => Ok(schemas.view(store, reading)),
            None if reading.shape.understands.is_empty() && reading.reader.is_none() => Ok(store),
            None => {
                let field = if reading.reader.is_some() { "reader" } else { "accept" };
                Err(Problem::invalid(field, "is not known here: this server was started without a schema registry"))
            }
        }
    }

    /// Whether the same version of a stream may look different later in this shape.
    fn may_lift(&self, shape: &Shape) -> bool {
        self.schemas.as_ref().is_some_and(|schemas| schemas.may_lift(shape))
    }

    fn schemas(&self) -> Result<&Registry, Problem> {
        let why = "this server has no schema registry: it was started without one";
        self.schemas.as_ref().ok_or_else(|| Problem::new(Kind::Unsupported, why))
    }
}

/// Everything the port speaks: HTTP, and gRPC as `grpc` has it.
pub(crate) fn router(app: Arc<App>, grpc: Router) -> Router {
    let http = routes::all()
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
