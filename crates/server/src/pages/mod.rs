//! The pages beside gRPC on the same port: `/healthz`, `/readyz` and `/metrics`, over HTTP/1 and HTTP/2.

mod layer;
mod metrics;

pub(crate) use layer::PagesLayer;
pub(crate) use metrics::{Counts, Frames, Refused};

use crate::identity::{Guard, before_pages};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use callboard_engine::Engine;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The paths that are pages; all others are gRPC's.
pub(crate) const PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// An answer about readiness is given again for so long: whoever asks all the time costs nothing.
const READY_FOR: Duration = Duration::from_millis(500);
/// What Prometheus calls the format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// When readiness was looked at last, and what was found.
type Look = Option<(Instant, Vec<String>)>;

/// What the pages need.
#[derive(Clone)]
struct Pages {
    engine: Engine,
    counts: Counts,
    /// One look at a time.
    looked: Arc<Mutex<Look>>,
}

/// The pages of an engine's server.
pub(crate) fn router(engine: Engine, counts: Counts, guard: Guard) -> Router {
    let pages = Pages { engine, counts, looked: Arc::default() };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(pages)
        .layer(axum::middleware::from_fn_with_state(guard, before_pages))
}

/// The process runs and answers. Nothing else is looked at: a store that is away must not get the server killed.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether work should be sent here.
async fn readyz(State(pages): State<Pages>) -> Response {
    let mut looked = pages.looked.lock().await;
    let reasons = match &*looked {
        Some((at, reasons)) if at.elapsed() < READY_FOR => reasons.clone(),
        _ => {
            let reasons = pages.engine.unready().await;
            *looked = Some((Instant::now(), reasons.clone()));
            reasons
        }
    };
    match reasons.is_empty() {
        true => "ok\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", reasons.join("; "))).into_response(),
    }
}

/// What Prometheus scrapes.
async fn metrics(State(pages): State<Pages>) -> Response {
    let mut text = pages.engine.metrics().await;
    match pages.counts.write(&mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written as text");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
