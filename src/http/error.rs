//! Everything that a request can be refused for, and the one map from that to a status and a line.

use axum::body::Body;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;

use super::access::Denied;
use super::reload::NotReloaded;
use super::text::query::QueryError;
use crate::balance::Refusal;

/// `Content-Type` of every text answer.
pub const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Why a request is refused. Its text is one line that names the argument, farm, backend or path; what is wrong with a
/// configuration may take more.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The query string cannot be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// An argument that cannot be had.
    #[error("{argument}: {problem}")]
    Argument {
        /// Its name.
        argument: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The sender may not; carries the argument that asks for too much.
    #[error("{argument}: {denied}")]
    Denied {
        /// The argument, or what was asked for.
        argument: String,
        /// Why not.
        denied: Denied,
    },
    /// `multi` while the configuration forbids it.
    #[error("multi: http.allow_diverse_multi is off")]
    MultiOff,
    /// The engine refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No farm of this name.
    #[error("unknown farm: {0}")]
    UnknownFarm(String),
    /// No backend of this name, or none that a pattern fits.
    #[error("unknown backend: {0}")]
    UnknownBackend(String),
    /// A farm has nobody to give.
    #[error("no member available: {0}")]
    Nobody(String),
    /// The configuration was not read again.
    #[error(transparent)]
    NotReloaded(#[from] NotReloaded),
    /// Nothing lives there.
    #[error("unknown path: {0}")]
    UnknownPath(String),
    /// Another method is needed; carries those that would do.
    #[error("this method is not allowed here, {0} are")]
    Method(&'static str),
    /// The body did not come in time.
    #[error("the request body did not come in time")]
    BodyTimeout,
    /// The body could not be read.
    #[error("the request body could not be read")]
    BodyBroken,
    /// The body is longer than this.
    #[error("the request body has more than {0} octets")]
    BodyTooLong(usize),
    /// The request line is longer than this.
    #[error("the request line has more than {0} octets")]
    LineTooLong(usize),
    /// A fault of ours; carries where.
    #[error("{0}: internal error")]
    Internal(&'static str),
    /// The header fields are longer than this.
    #[error("the header has more than {0} octets")]
    HeaderTooLong(usize),
}

impl Error {
    /// An argument that cannot be had, and why.
    pub fn argument(argument: &str, problem: impl Into<String>) -> Self {
        Self::Argument { argument: shown(argument), problem: problem.into() }
    }

    /// The status that says this.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Query(_) | Self::Argument { .. } | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::Denied { .. } | Self::MultiOff => StatusCode::FORBIDDEN,
            Self::Refused(Refusal::UnknownBackend(_) | Refusal::UnknownFarm(_)) => StatusCode::NOT_FOUND,
            // Until somebody leaves, or the limit is raised.
            Self::Refused(Refusal::Full { .. }) => StatusCode::TOO_MANY_REQUESTS,
            // Not the sender's fault: a disk is full or may not be written.
            Self::Refused(Refusal::NotStored(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused(_) => StatusCode::BAD_REQUEST,
            Self::UnknownFarm(_) | Self::UnknownBackend(_) | Self::UnknownPath(_) => StatusCode::NOT_FOUND,
            Self::NotReloaded(why) => why.status(),
            Self::Nobody(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::LineTooLong(_) => StatusCode::URI_TOO_LONG,
            Self::HeaderTooLong(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(format!("{self}\n")));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, TEXT);
        match self {
            Self::Method(allowed) => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            // What is left of such a request is not worth reading.
            Self::BodyTimeout | Self::BodyBroken | Self::BodyTooLong(_) => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// Most characters of foreign text in a message.
const SHOWN: usize = 64;

/// Foreign text as it may stand in a message of one line: control characters escaped, and not too long.
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == SHOWN {
            shown.push('…');
            break;
        }
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_cannot_be_stored_is_no_fault_of_the_sender() {
        let error = Error::from(Refusal::NotStored("athena.redb: no space left on device".to_owned()));
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn foreign_text_stays_on_one_line() {
        assert_eq!(shown("a\r\nb"), "a\\r\\nb");
        assert_eq!(shown(&"é".repeat(100)).chars().count(), 65);
        assert_eq!(Error::argument("x\n", "unknown argument").to_string(), "x\\n: unknown argument");
    }
}
