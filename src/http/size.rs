//! How large a request may be, by its head alone.

use axum::http::{Request, Uri};
use hyper::body::Incoming;

use super::error::Error;
use super::options::Limits;

/// Refuses a request whose line or header fields are longer than `limits` say.
pub fn check_size(request: &Request<Incoming>, limits: &Limits) -> Result<(), Error> {
    let line = request.method().as_str().len() + target_length(request.uri()) + "  HTTP/1.1".len();
    if line > limits.request_line {
        return Err(Error::LineTooLong(limits.request_line));
    }
    let fields =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    if fields.sum::<usize>() > limits.header {
        return Err(Error::HeaderTooLong(limits.header));
    }
    Ok(())
}

/// Octets of the request target; in absolute form (RFC 9112, 3.2.2) scheme and authority count too.
fn target_length(uri: &Uri) -> usize {
    let absolute = uri.authority().map_or(0, |authority| authority.as_str().len() + "://".len());
    let scheme = uri.scheme_str().map_or(0, str::len);
    uri.path_and_query().map_or(0, |target| target.as_str().len()) + absolute + scheme
}
