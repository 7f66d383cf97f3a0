//! The small pages: what is here, health, readiness, and what is answered where nothing is.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{StatusCode, Uri};

use super::State;
use super::error::{Error, TEXT, shown};

type Text = (StatusCode, [(HeaderName, HeaderValue); 1], String);

fn text(status: StatusCode, text: String) -> Text {
    (status, [(CONTENT_TYPE, TEXT)], text)
}

/// `/`: one line.
pub async fn index(Extract(state): Extract<Arc<State>>) -> Text {
    let (version, options) = (state.version, state.options());
    let path = &options.path;
    let line = format!(
        "athena {version}: {path}/balance/?FARM {path}/status/phys/ {path}/status/farm/ /metrics /readyz\n"
    );
    text(StatusCode::OK, line)
}

/// `/healthz`: whoever can answer lives.
pub async fn health() -> Text {
    text(StatusCode::OK, "ok\n".to_owned())
}

/// `/readyz`: 200, or 503 and what is in the way, one line each.
pub async fn readiness(Extract(state): Extract<Arc<State>>) -> Text {
    let obstacles = state.readiness.obstacles();
    if obstacles.is_empty() {
        return text(StatusCode::OK, "ready\n".to_owned());
    }
    text(StatusCode::SERVICE_UNAVAILABLE, obstacles.join("\n") + "\n")
}

/// Nothing lives there.
pub async fn unknown(uri: Uri) -> Error {
    Error::UnknownPath(shown(uri.path()))
}

/// All pages are only read.
pub async fn wrong_method() -> Error {
    Error::Method("GET, HEAD")
}
