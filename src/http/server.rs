//! The listener: connections within limits, each request to its route, and the stop.
//!
//! hyper speaks HTTP/1.1. Its own time-out and its own limits are replaced by [`Stream`]'s and by checks here, because
//! they answer nothing that a person could read and arm a timer for every request. Where TLS is configured, it stands
//! between [`admit`] and [`converse`]: the latter takes any stream.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use axum::http::{Method, Request, Response, StatusCode};
use axum::response::IntoResponse;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::accept::accepts;
use super::access::Sender;
use super::body::Body;
use super::error::{Error, TEXT};
use super::size::check_size;
use super::stop::{Follower, Stop};
use super::stream::Stream;
use super::text::{self, Asked, Kind, Page};
use super::{Options, State, reload, router, text_route};
use crate::connections::Permit;

/// Serves what comes to `listener` until `stop` is ready; then takes no more connections, finishes open answers for as
/// long as `limits.stop` allows, and returns. Several listeners may share a state; they share its limits.
pub async fn serve(listener: TcpListener, state: Arc<State>, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    let router = TowerToHyperService::new(router(Arc::clone(&state)));
    let stopping = Arc::new(Stop::default());
    let mut open = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            },
            () = &mut stop => break,
            // Only to forget those that are done.
            Some(_) = open.join_next() => continue,
        };
        if let Some(permit) = admit(&stream, peer, &state) {
            let tls = state.options().tls.clone();
            let (state, router) = (Arc::clone(&state), router.clone());
            let service = Conversation { state, router, peer: peer.ip(), asked: Arc::default() };
            let stop = stopping.follower();
            match tls {
                None => open.spawn(converse(stream, service, permit, stop)),
                Some(tls) => open.spawn(converse_by_tls(stream, tls, service, permit, stop)),
            };
        }
    }
    drop(listener);
    stopping.begin();
    let patience = state.options().limits.stop;
    // Whoever is not done by then is cut off with the set.
    let _ = timeout(patience, async { while open.join_next().await.is_some() {} }).await;
}

/// A failed `accept` is about one connection, or about the process having no descriptors left: then there is no use in
/// trying again at once.
async fn pause_after(error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "http cannot accept connections");
    let _ = timeout(Duration::from_millis(100), pending::<()>()).await;
}

/// What a client reads that finds no room.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 21\r\nconnection: close\r\n\r\ntoo many connections\n";

/// Lets a connection in if limits allow, and counts it.
fn admit(stream: &TcpStream, peer: SocketAddr, state: &State) -> Option<Permit> {
    let permit = state.connections.admit(peer.ip(), state.options().limits.connections());
    if permit.is_none() {
        state.metrics.http.turned_away.count();
        if state.options().tls.is_none() {
            // Nobody waits for it to be read.
            let _ = stream.try_write(NO_ROOM);
        }
        return None;
    }
    state.metrics.http.accepted.count();
    // An answer is one small write; it must not wait for more.
    let _ = stream.set_nodelay(true);
    permit
}

/// Room in the buffer beside request line and header, so that what is a little too long is still read and refused by
/// name; what is much too long gets hyper's bare 431.
const SLACK: usize = 16_384;

/// How long a connection on which nothing was asked yet is kept when the server stops: the question may be on its way,
/// and the next process, which shares the socket, would have answered it.
const FIRST_QUESTION: Duration = Duration::from_secs(1);

/// Does the same after a handshake, for which a client has as long as for the head of a request.
async fn converse_by_tls(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    service: Conversation,
    permit: Permit,
    mut stop: Follower,
) {
    let patience = service.state.options().limits.head;
    let mut shaking = pin!(timeout(patience, TlsAcceptor::from(tls).accept(stream)));
    let shaken = poll_fn(|context| {
        if stop.has_begun(context) { Poll::Ready(None) } else { shaking.as_mut().poll(context).map(Some) }
    });
    match shaken.await {
        Some(Ok(Ok(stream))) => converse(stream, service, permit, stop).await,
        Some(_) => service.state.metrics.http.handshake_failed.count(),
        None => {}
    }
}

/// Serves one connection to its end; after the stop has begun, to the end of the answer that is open.
async fn converse<I>(io: I, service: Conversation, permit: Permit, mut stop: Follower)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = service.state.options().limits;
    let asked = Arc::clone(&service.asked);
    let io = TokioIo::new(Stream::new(io, &limits));
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        // Answers are small: one buffer to write is cheaper than two, although the body is copied once more.
        .writev(false)
        .max_buf_size(limits.request_line + limits.header + SLACK)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let mut grace = None;
    // How a connection ends is the client's affair.
    let _ = poll_fn(|context| {
        if !stop.has_begun(context) {
            return connection.as_mut().poll(context);
        }
        // hyper closes at once what nobody has asked anything on.
        if !asked.load(Relaxed) {
            let ended = connection.as_mut().poll(context);
            let grace = grace.get_or_insert_with(|| Box::pin(timeout(FIRST_QUESTION, pending::<()>())));
            if ended.is_ready() || !asked.load(Relaxed) && grace.as_mut().poll(context).is_pending() {
                return ended;
            }
        }
        connection.as_mut().graceful_shutdown();
        connection.as_mut().poll(context)
    })
    .await;
    drop(permit);
}

/// What one connection is served by.
struct Conversation {
    state: Arc<State>,
    router: Pages,
    peer: IpAddr,
    /// Whether anything was asked.
    asked: Arc<AtomicBool>,
}

impl Service<Request<Incoming>> for Conversation {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        self.asked.store(true, Relaxed);
        let options = self.state.options();
        if let Err(error) = check_size(&request, &options.limits) {
            return self.now(refuse(error));
        }
        let below = request.uri().path().strip_prefix(options.path.as_str());
        let Some(kind) = below.and_then(|path| path.strip_prefix('/')).and_then(text_route) else {
            self.state.metrics.http.other.count();
            return self.later(ask_router(self.router.clone(), self.peer, request));
        };
        let http = &self.state.metrics.http;
        match kind {
            Kind::Balance => http.balance.count(),
            Kind::Status(_) | Kind::MirrorState => http.status.count(),
            Kind::UpdatePhys | Kind::UpdateFarm | Kind::Multi => http.update.count(),
            Kind::MirrorPhys | Kind::MirrorFarm => http.update.count(),
            Kind::Reload => http.other.count(),
        }
        if let Err(error) = check_method(request.method(), kind) {
            return self.now(refuse(error));
        }
        match request.uri().query() {
            None if is_form(&request) => {
                self.later(answer_form(Arc::clone(&self.state), self.peer, kind, request))
            }
            query if kind == Kind::Reload => {
                let query = query.unwrap_or("");
                let begun = reload::begin(&self.state, &options, self.peer, query, request.headers());
                self.later(answer_reload(begun))
            }
            query => {
                let query = query.unwrap_or("");
                let response = answer(&self.state, &options, self.peer, kind, query, request.headers());
                self.now(response)
            }
        }
    }
}

impl Conversation {
    fn now(&self, response: Response<Body>) -> Answering {
        count(&self.state, response.status());
        Answering::Now(Some(response))
    }

    fn later(&self, response: impl Future<Output = Response<Body>> + Send + 'static) -> Answering {
        Answering::Later(Arc::clone(&self.state), Box::pin(response))
    }
}

/// An answer: at once, or when it is ready.
enum Answering {
    /// Taken when it is polled.
    Now(Option<Response<Body>>),
    /// Counted when it is ready.
    Later(Arc<State>, Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

impl Future for Answering {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Now(response) => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            Self::Later(state, response) => {
                let response = ready!(response.as_mut().poll(context));
                count(state, response.status());
                Poll::Ready(Ok(response))
            }
        }
    }
}

/// Counts what was refused.
fn count(state: &State, status: StatusCode) {
    let http = &state.metrics.http;
    match status.as_u16() {
        400 => http.bad_request.count(),
        403 => http.forbidden.count(),
        404 => http.not_found.count(),
        _ if status.is_client_error() => http.refused.count(),
        _ if status.is_server_error() => http.failed.count(),
        _ => {}
    }
}

/// Everything beside the text protocol.
async fn ask_router(router: Pages, peer: IpAddr, mut request: Request<Incoming>) -> Response<Body> {
    request.extensions_mut().insert(Peer(peer));
    match router.call(request).await {
        Ok(response) => response.map(Body::Routed),
        Err(never) => match never {},
    }
}

/// axum's router as hyper calls it.
type Pages = TowerToHyperService<Router>;

/// The address at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

fn check_method(method: &Method, kind: Kind) -> Result<(), Error> {
    match *method {
        Method::GET | Method::HEAD => Ok(()),
        Method::POST if kind.changes() => Ok(()),
        _ if kind.changes() => Err(Error::Method("GET, HEAD, POST")),
        _ => Err(Error::Method("GET, HEAD")),
    }
}

/// Whether the body is a form that stands for the query string.
fn is_form(request: &Request<Incoming>) -> bool {
    let form = b"application/x-www-form-urlencoded";
    let is_form = |value: &HeaderValue| {
        value.as_bytes().get(..form.len()).is_some_and(|start| start.eq_ignore_ascii_case(form))
    };
    *request.method() == Method::POST && request.headers().get(CONTENT_TYPE).is_some_and(is_form)
}

/// Reads the body within its limits and takes it as the query string.
async fn answer_form(
    state: Arc<State>,
    peer: IpAddr,
    kind: Kind,
    request: Request<Incoming>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let limits = state.options().limits;
    // Other Athenas send what came together while they waited.
    let most = if kind.is_mirrored() { text::mirror::MAX_OCTETS } else { limits.body_size };
    let body = timeout(limits.body, Limited::new(body, most).collect()).await;
    let query = match body {
        Err(_) => Err(Error::BodyTimeout),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Error::BodyTooLong(most)),
        Ok(Err(_)) => Err(Error::BodyBroken),
        Ok(Ok(body)) => String::from_utf8(body.to_bytes().into())
            .map_err(|_| Error::argument("the request body", "not UTF-8")),
    };
    match query {
        Ok(query) if kind == Kind::Reload => {
            let begun = reload::begin(&state, &state.options(), peer, &query, &parts.headers);
            answer_reload(begun).await
        }
        Ok(query) => answer(&state, &state.options(), peer, kind, &query, &parts.headers),
        Err(error) => {
            state.engine.count_refused();
            refuse(error)
        }
    }
}

/// Answers a request of the text protocol.
fn answer(
    state: &State,
    options: &Options,
    peer: IpAddr,
    kind: Kind,
    query: &str,
    headers: &HeaderMap,
) -> Response<Body> {
    let sender: Sender<'_> = options.access.sender(peer, headers);
    let json = matches!(kind, Kind::Status(_)) && accepts(headers, "application/json") > 0.0;
    let asked = Asked { state, options, sender, query, json, now: state.clock.now() };
    match text::answer(kind, &asked) {
        Ok(page) => respond(page),
        Err(error) => refuse(error),
    }
}

/// Answers when the reload is over; access to it was checked before.
async fn answer_reload(begun: Result<reload::Reloading, Error>) -> Response<Body> {
    let outcome = match begun {
        Ok(reloading) => reload::page(reloading.await),
        Err(error) => Err(error),
    };
    outcome.map_or_else(refuse, respond)
}

fn respond(page: Page) -> Response<Body> {
    let mut response = Response::new(Body::from(page.text));
    *response.status_mut() = page.status;
    let media = if page.json { HeaderValue::from_static("application/json") } else { TEXT };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media);
    // The next answer may be another, and a GET may have changed something.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refuse(error: Error) -> Response<Body> {
    error.into_response().map(Body::Routed)
}
