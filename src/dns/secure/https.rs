//! DNS over HTTPS (RFC 8484): one HTTP/2 connection, each request a message.
//!
//! What is no DNS message gets an HTTP status and is not counted among messages; every message gets 200 and its reply,
//! whatever the RCODE (RFC 8484, 4.2.1).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use data_encoding::BASE64URL_NOPAD;
use hickory_proto::op::Message;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::balance::random::SplitMix;

use super::super::handler::Begun;
use super::super::server::{Shared, stopped};
use super::super::transport::Transport;

/// The media type of a message (RFC 8484, 6).
const MESSAGE: &str = "application/dns-message";
/// Longest message.
const MAX_MESSAGE: usize = u16::MAX as usize;
/// Requests of one connection that are answered at the same time.
const STREAMS: u32 = 100;
/// Octets of header fields in one request; a GET holds a whole query.
const HEADER: u32 = 16_384;
/// Octets of a connection's answers that wait to be sent.
const SEND: usize = 1 << 16;

/// Answers requests until the client is done or idle for too long, or until the stop; open ones are finished then.
pub async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    client: SocketAddr,
    shared: Shared,
    mut stop: watch::Receiver<bool>,
) {
    let limits = shared.handler.authority().options.tcp.clone();
    let requests = Arc::new(AtomicU64::new(0));
    let service = {
        let requests = Arc::clone(&requests);
        service_fn(move |request| {
            requests.fetch_add(1, Relaxed);
            let shared = shared.clone();
            async move { Ok::<_, Infallible>(answer(request, client, &shared).await) }
        })
    };
    let connection = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER)
        .max_send_buf_size(SEND)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut tick = interval(limits.idle);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.reset();
    let mut seen = 0;
    loop {
        tokio::select! {
            // How a connection ends is the client's affair.
            _ = &mut connection => return,
            _ = tick.tick() => {
                let now = requests.load(Relaxed);
                if now == seen {
                    break;
                }
                seen = now;
            }
            () = stopped(&mut stop) => break,
        }
    }
    connection.as_mut().graceful_shutdown();
    // Whoever does not read what is left is cut off.
    let _ = timeout(limits.write, connection).await;
}

async fn answer(request: Request<Incoming>, client: SocketAddr, shared: &Shared) -> Response<Full<Bytes>> {
    let authority = shared.handler.authority().clone();
    let (head, body) = request.into_parts();
    // Whatever is wrong with a request, what belongs to it is read first: a client that is cut off while it sends does not
    // see why. The same for what is a little too long.
    let body = Limited::new(body, 2 * MAX_MESSAGE).collect();
    let body = match timeout(authority.options.tcp.idle, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if !error.is::<LengthLimitError>() => {
            return refuse(StatusCode::BAD_REQUEST, "the message broke off");
        }
        Ok(Err(_)) => return too_long(),
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the message did not come"),
    };
    if body.len() > MAX_MESSAGE {
        return too_long();
    }
    if head.uri.path() != authority.options.https_path {
        return refuse(StatusCode::NOT_FOUND, "no dns here");
    }
    let by_get = head.method == Method::GET;
    let query = match head.method {
        Method::GET => from_url(head.uri.query()),
        Method::POST if is_message(&head.headers) => Ok(body),
        Method::POST => Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/dns-message is spoken here")),
        _ => {
            let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, "GET and POST are spoken here");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
            return response;
        }
    };
    let query = match query {
        Ok(query) => query,
        Err((status, why)) => return refuse(status, why),
    };
    let mut reply = Vec::new();
    let (now, mut random) = (shared.clock.now(), SplitMix::from_system());
    match shared.handler.begin(&query, client, Transport::Https, now, &mut random, &mut reply) {
        Begun::Nothing => return refuse(StatusCode::BAD_REQUEST, "this is no query"),
        Begun::Written => {}
        Begun::Later(later) => reply = later.complete().await,
    }
    // Only answers to GET are kept by caches (RFC 8484, 5.1).
    let age = if by_get { freshness(&reply) } else { 0 };
    let mut response = Response::new(Full::new(Bytes::from(reply)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MESSAGE));
    if let Ok(value) = HeaderValue::from_str(&format!("max-age={age}")) {
        headers.insert(CACHE_CONTROL, value);
    }
    response
}

/// The message in `dns=…` (RFC 8484, 4.1): base64url without padding.
fn from_url(query: Option<&str>) -> Result<Bytes, (StatusCode, &'static str)> {
    let mut pairs = query.unwrap_or("").split('&');
    let Some(text) = pairs.find_map(|pair| pair.strip_prefix("dns=")) else {
        return Err((StatusCode::BAD_REQUEST, "dns= is missing"));
    };
    match BASE64URL_NOPAD.decode(text.as_bytes()) {
        Ok(message) => Ok(message.into()),
        Err(_) => Err((StatusCode::BAD_REQUEST, "dns= is not base64url without padding")),
    }
}

/// Whether the body is said to be a message.
fn is_message(headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    media.eq_ignore_ascii_case(MESSAGE.as_bytes())
}

/// For how many seconds a cache may keep the reply (RFC 8484, 5.1): the least TTL of its answers, or of the SOA that comes
/// instead; 0 where there is neither.
fn freshness(reply: &[u8]) -> u32 {
    let Ok(message) = Message::from_vec(reply) else { return 0 };
    let records = message.answers.iter().chain(&message.authorities);
    records.map(|record| record.ttl).min().unwrap_or(0)
}

fn too_long() -> Response<Full<Bytes>> {
    refuse(StatusCode::PAYLOAD_TOO_LARGE, "a message has at most 65535 octets")
}

fn refuse(status: StatusCode, why: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{why}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
