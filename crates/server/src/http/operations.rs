//! What an operator and a load balancer ask.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use pacioli_api::problem::{Kind, Problem};
use pacioli_core::EventStore;

use super::App;
use super::answer::{Failure, body};
use crate::metrics;

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
    body(StatusCode::OK, metrics::MEDIA_TYPE, app.metrics.text(head.as_ref(), &app.store.bus(), app.store.measures()))
}
