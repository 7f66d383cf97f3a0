//! `reload`: the application reads its configuration again, and the answer says what came of it.
//!
//! The one request of the text protocol that has to wait for somebody else, and the one that nobody may mix with others.
//! The application hands in how it is done ([`State::on_reload`]); this shell knows no configuration.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

use axum::http::{HeaderMap, StatusCode};

use super::access::Class;
use super::error::Error;
use super::text::Page;
use super::text::query::QueryString;
use super::{Options, State};

/// Begins a reload.
pub type Hook = Box<dyn Fn() -> Reloading + Send + Sync>;

/// A reload under way. Gives one line for each thing that changed.
pub type Reloading = Pin<Box<dyn Future<Output = Result<Vec<String>, NotReloaded>> + Send>>;

/// Why everything stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReloaded {
    /// The configuration cannot be used; carries its problems, one a line.
    #[error("not reloaded, the old configuration goes on\n{0}")]
    Refused(String),
    /// Nobody would do it: the process starts, or stops.
    #[error("not reloaded: the process starts or stops")]
    Nobody,
}

impl NotReloaded {
    /// The status that says this.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Refused(_) => StatusCode::CONFLICT,
            Self::Nobody => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// What is answered where nothing changed.
const NOTHING: &str = "nothing changed\n";

/// Checks the query, which may hold a key and nothing else, and the sender's right to decide for people. Gives the reload
/// that has begun.
pub fn begin(
    state: &State,
    options: &Options,
    peer: std::net::IpAddr,
    query: &str,
    headers: &HeaderMap,
) -> Result<Reloading, Error> {
    let query = QueryString::new(query)?;
    let mut key = None;
    for request in query.requests(1) {
        let mut request = request?;
        key = request.take("k");
        if let Some(name) = request.left_over() {
            return Err(Error::argument(name, "unknown argument"));
        }
    }
    let sender = options.access.sender(peer, headers);
    let check = options.access.check(Class::Admin, &sender, key.as_deref().map(str::as_bytes));
    check.map_err(|denied| Error::Denied { argument: "reload".to_owned(), denied })?;
    Ok(state.reload().ok_or(NotReloaded::Nobody)?)
}

/// What a reload came to, as a page of one line for each change.
pub fn page(outcome: Result<Vec<String>, NotReloaded>) -> Result<Page, Error> {
    let changes = outcome?;
    let text = match changes.as_slice() {
        [] => Cow::Borrowed(NOTHING),
        changes => Cow::Owned(changes.join("\n") + "\n"),
    };
    Ok(Page { status: StatusCode::OK, json: false, text })
}
