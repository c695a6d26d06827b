//! What an operator and a load balancer ask.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use pacioli_api::problem::{Kind, Problem};
use pacioli_core::EventStore;

use pacioli_projection::service::Status;

use super::App;
use super::answer::{Failure, body};
use crate::metrics;
use crate::models::Models;
use crate::schemas::Registry;

/// How long the figures of projections may take.
const PROJECTIONS_PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// `GET /healthz`: the process is alive.
pub(super) async fn healthz() -> Response {
    std::future::ready(body(StatusCode::OK, "application/json", r#"{"status":"alive"}"#)).await
}

/// `GET /readyz`: the storage answers and the server is not stopping.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    if app.store.is_closed() {
        return Err(Problem::retry(Kind::ShuttingDown, "the server is stopping").into());
    }
    match app.store.ready().await {
        Ok(()) => Ok(body(StatusCode::OK, "application/json", r#"{"status":"ready"}"#)),
        Err(error) => {
            tracing::error!(%error, "the storage does not answer");
            Err(Problem::retry(Kind::Timeout, format!("the storage does not answer: {error}")).into())
        }
    }
}

/// `GET /metrics`
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    // Without an answer of the storage the other figures are wanted all the more.
    let head = app.store.head().await.ok();
    let projections = projections(&app).await;
    let mut measures = app.store.measures();
    measures.extend(app.schemas.iter().flat_map(Registry::measures));
    let text = app.metrics.text(head.as_ref(), &app.store.bus(), measures, projections);
    body(StatusCode::OK, metrics::MEDIA_TYPE, text)
}

/// How the projections are; none where that cannot be told in time.
async fn projections(app: &App) -> Vec<Status> {
    let Models::On(models) = &app.models else { return Vec::new() };
    match tokio::time::timeout(PROJECTIONS_PATIENCE, models.list()).await {
        Ok(Ok(statuses)) => statuses,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the metrics lack the projections");
            Vec::new()
        }
        Err(_) => {
            tracing::warn!("the metrics lack the projections: they were not told in time");
            Vec::new()
        }
    }
}
