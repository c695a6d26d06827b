//! The readers that gave their names.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use pacioli_api::problem::Problem;

use super::App;
use super::answer::{self, Failure};
use super::query::Query;

/// `GET /v1/readers`
pub(super) async fn list(State(app): State<Arc<App>>, request: Request) -> Result<Response, Failure> {
    Query::read(&request, &[])?;
    let readers = app.schemas()?.readers().await.map_err(Problem::from)?;
    let mut response = answer::json(StatusCode::OK, &readers);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
