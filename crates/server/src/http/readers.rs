//! The readers that gave their names.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
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

/// `DELETE /v1/readers/{name}`
pub(super) async fn forget(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Failure> {
    let Path(name) = name.map_err(|_| Problem::invalid("name", "is not UTF-8 once its percent signs are resolved"))?;
    Query::read(&request, &[])?;
    app.schemas()?.forget_reader(&name).await.map_err(Problem::from)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
