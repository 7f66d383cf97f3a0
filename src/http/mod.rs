//! The HTTP shell: the text protocol, metrics, health.
//!
//! Two ways lead in. The text protocol, which thousands of requests a second use, is a table of plain functions that
//! [`server`] calls without a future, a box or a router. Everything else goes through axum's router, where extractors
//! are worth more than a microsecond. Both are listed here, one line a route; both answer errors through [`error`].
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`server`], `body` | the listener: connections, methods, bodies, the way to a route, the stop |
//! | [`stream`] | a connection's quotes and patience |
//! | `stop` | how connections learn of the stop; [`crate::connections`] bounds how many there are |
//! | [`text`] | the protocol of the original |
//! | [`metrics`] | `/metrics` |
//! | [`access`] | who may do what |
//! | `size` | how large a request may be |
//! | `accept` | what a client wants to read |
//! | [`reload`] | the configuration read again |
//! | [`error`] | every refusal, its status and its line |
//! | [`json`], [`date`] | what JSON says |
//! | [`state`], [`options`], [`readiness`] | what the application hands in |

mod accept;
pub mod access;
mod body;
pub mod date;
pub mod error;
pub mod json;
pub mod metrics;
pub mod options;
mod pages;
pub mod readiness;
pub mod reload;
pub mod server;
mod size;
pub mod state;
mod stop;
pub mod stream;
pub mod text;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

pub use options::{Limits, Options, Shown};
pub use readiness::Readiness;
pub use reload::NotReloaded;
pub use state::State;

use text::Kind;
use text::status::Subject;

/// The text protocol, below `http.path`. `multi` finds its parts here too.
static TEXT_ROUTES: &[(&str, Kind)] = &[
    // the address of a member of each farm asked for
    ("balance", Kind::Balance),
    // a report, or an order, about a backend
    ("update/phys", Kind::UpdatePhys),
    // an order about a farm
    ("update/farm", Kind::UpdateFarm),
    // backends
    ("status/phys", Kind::Status(Subject::Phys)),
    // farms
    ("status/farm", Kind::Status(Subject::Farm)),
    // the whole
    ("status/engine", Kind::Status(Subject::Engine)),
    // configuration, farms, backends and the whole
    ("status/debug", Kind::Status(Subject::Debug)),
    // what another Athena took about a backend
    ("mirror/phys", Kind::MirrorPhys),
    // what another Athena took about a farm
    ("mirror/farm", Kind::MirrorFarm),
    // all that there is to mirror
    ("mirror/state", Kind::MirrorState),
    // the configuration, read again
    ("reload", Kind::Reload),
    // several of these in one request
    ("multi", Kind::Multi),
];

/// What a path below `http.path` asks for; a slash at its end makes no difference.
fn text_route(path: &str) -> Option<Kind> {
    let path = path.strip_suffix('/').unwrap_or(path);
    TEXT_ROUTES.iter().find(|(route, _)| *route == path).map(|(_, kind)| *kind)
}

/// Everything beside the text protocol.
fn router(state: Arc<State>) -> Router {
    Router::new()
        // one line that says what is here
        .route("/", get(pages::index))
        // Prometheus and OpenMetrics
        .route("/metrics", get(metrics::page))
        // the process lives
        .route("/healthz", get(pages::health))
        // it can be asked, or what is in the way
        .route("/readyz", get(pages::readiness))
        .fallback(pages::unknown)
        .method_not_allowed_fallback(pages::wrong_method)
        .with_state(state)
}
