//! DNS over TCP (RFC 7766) and TLS (RFC 7858): the accept loop, the limits, one task a connection.
//!
//! A connection may send as many queries as it likes without waiting. Nearly every answer is ready as soon as its query is
//! read, so they leave in the order they came in, many at a time; those that wait for others leave when they are there. What a client can hold is bounded: connections in all and by
//! address, one query's octets, [`FULL`] octets of answers, and the time to read them. Nothing here waits for another
//! client. [`secure`](super::secure) shares the accept loop and the limits.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::balance::random::SplitMix;
use crate::clock::Clock;

use super::TcpOptions;
use super::handler::{Begun, Handler};
use super::transport::Transport;

/// Answers that wait to be written: beyond so many octets the connection's next query is not read.
const FULL: usize = 1 << 16;
/// Octets of the length in front of each message (RFC 1035, 4.2.2).
const PREFIX: usize = 2;
/// Room for queries at first; a longer one gets its own.
const ROOM: usize = 512;
/// How long to wait when no connection can be accepted, which is for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves TCP on any number of listeners, under common limits.
pub struct TcpServer(Shared);

/// What every server of connections works with.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) handler: Arc<Handler>,
    pub(super) clock: Clock,
    seats: Arc<Seats>,
}

impl TcpServer {
    /// A server that lets `handler` answer. Its limits are those of the handler's options at each accept.
    pub fn new(handler: Arc<Handler>, clock: Clock) -> Self {
        Self(Shared { handler, clock, seats: Arc::default() })
    }

    /// Accepts from `listener` until `stop` turns true or its sender is gone; then closes the listener and the idle
    /// connections, finishes answers that are being written, and returns.
    pub async fn serve(&self, listener: TcpListener, stop: watch::Receiver<bool>) {
        let shared = &self.0;
        let converse = |stream, client, seat, stop| {
            Connection::new(stream, client, Transport::Tcp, shared, seat).run(stop)
        };
        shared.accept(listener, stop, converse).await;
    }

    /// What others serve with under the same limits.
    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }
}

impl Shared {
    /// Accepts as [`TcpServer::serve`] says and lets `converse` make of each connection what it is.
    pub(super) async fn accept<F>(
        &self,
        listener: TcpListener,
        mut stop: watch::Receiver<bool>,
        converse: impl Fn(TcpStream, SocketAddr, Seat, watch::Receiver<bool>) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut connections = JoinSet::new();
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "dns: a tcp connection ended in a panic");
                    }
                    continue;
                }
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, client)) => {
                    failing = false;
                    if let Some(seat) = self.admit(&stream, client) {
                        connections.spawn(converse(stream, client, seat, stop.clone()));
                    }
                }
                Err(error) => {
                    // One line when it begins, not one for each attempt.
                    if !std::mem::replace(&mut failing, true) && !is_clients_fault(&error) {
                        tracing::warn!(%error, "dns: no tcp connection can be accepted");
                    }
                    let _ = timeout(ACCEPT_PAUSE, stopped(&mut stop)).await;
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    /// Gives the connection a seat; if there is none, it is to be closed at once.
    fn admit(&self, stream: &TcpStream, client: SocketAddr) -> Option<Seat> {
        let metrics = self.handler.metrics();
        let seat = self.seat(client);
        match seat {
            Some(_) => metrics.tcp_accepted.count(),
            None => metrics.tcp_refused.count(),
        }
        // Answers are small and complete: waiting for more of them only delays.
        let _ = stream.set_nodelay(true);
        seat
    }

    /// A seat for this client, if the limits leave one.
    pub(super) fn seat(&self, client: SocketAddr) -> Option<Seat> {
        Seat::take(&self.seats, client.ip().to_canonical(), &self.handler.authority().options.tcp)
    }

    /// Whether more than half of all seats are taken.
    pub(super) fn is_crowded(&self) -> bool {
        let taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all > self.handler.authority().options.tcp.connections / 2
    }
}

/// Waits until `stop` is true or its sender is gone.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}

/// Whether the connection was gone before it was accepted.
fn is_clients_fault(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// Who is connected.
#[derive(Default)]
struct Seats(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// One connection's place, given back when it ends.
pub(super) struct Seat {
    seats: Arc<Seats>,
    client: IpAddr,
}

impl Seat {
    /// Takes a seat if there is one. Takes the lock of the seats, as giving back does; no query does.
    fn take(seats: &Arc<Seats>, client: IpAddr, limits: &TcpOptions) -> Option<Self> {
        let mut taken = seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_client = taken.by_client.get(&client).copied().unwrap_or(0);
        if taken.all >= limits.connections || of_client >= limits.connections_per_client {
            return None;
        }
        taken.all += 1;
        taken.by_client.insert(client, of_client + 1);
        Some(Self { seats: Arc::clone(seats), client })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        match taken.by_client.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.by_client.remove(&self.client)),
        }
    }
}

/// One client's stream.
pub(super) struct Connection<S> {
    stream: S,
    client: SocketAddr,
    transport: Transport,
    handler: Arc<Handler>,
    clock: Clock,
    idle: Duration,
    write: Duration,
    /// Read and not answered yet: at most one unfinished query more than was answered in the last round.
    input: Vec<u8>,
    /// Answers with their lengths.
    output: Vec<u8>,
    /// Answers that wait for others.
    waiting: JoinSet<Vec<u8>>,
    _seat: Seat,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Takes a stream that is ready for queries.
    pub(super) fn new(
        stream: S,
        client: SocketAddr,
        transport: Transport,
        shared: &Shared,
        seat: Seat,
    ) -> Self {
        let TcpOptions { idle, write, .. } = shared.handler.authority().options.tcp;
        Self {
            stream,
            client,
            transport,
            handler: Arc::clone(&shared.handler),
            clock: shared.clock,
            idle,
            write,
            input: Vec::new(),
            output: Vec::new(),
            waiting: JoinSet::new(),
            _seat: seat,
        }
    }

    /// Answers until the client is done, makes no sense or makes us wait for too long, or until the stop.
    pub(super) async fn run(mut self, stop: watch::Receiver<bool>) {
        self.converse(stop).await;
        if self.transport.is_encrypted() {
            // RFC 8446, 6.1: we say that nothing follows, so that the client knows that nothing was cut off.
            let _ = timeout(self.write, self.stream.shutdown()).await;
        }
    }

    async fn converse(&mut self, mut stop: watch::Receiver<bool>) {
        let mut random = SplitMix::from_system();
        let mut reply = Vec::new();
        loop {
            let stopping = *stop.borrow();
            // Time runs from query to query, not from octet to octet: who sends one at a time gains nothing.
            let event = tokio::select! {
                biased;
                Some(late) = self.waiting.join_next() => Event::Late(late.unwrap_or_default()),
                ready = timeout(self.idle, read_query(&mut self.stream, &mut self.input)) => match ready {
                    Ok(Ok(true)) => Event::Query,
                    // Who waits for us is not idle.
                    Err(_) if !self.waiting.is_empty() => continue,
                    _ => Event::End,
                },
                () = stopped(&mut stop) => Event::End,
            };
            let sane = match event {
                Event::Query => self.answer(&mut random, &mut reply),
                Event::Late(late) => {
                    self.put(&late);
                    true
                }
                Event::End => return self.part().await,
            };
            if !self.send().await {
                return;
            }
            // What came before the stop is answered, what comes after it is not.
            if !sane || (stopping && first_message(&self.input).is_none()) {
                return self.part().await;
            }
            // An idle connection holds no more memory than it had when it came.
            if self.input.is_empty() && self.input.capacity() > ROOM {
                self.input = Vec::new();
            }
            if self.output.capacity() > ROOM {
                self.output = Vec::new();
            }
        }
    }

    /// Sends what still waits for others, and nothing more.
    async fn part(&mut self) {
        while let Some(late) = self.waiting.join_next().await {
            self.put(&late.unwrap_or_default());
            if !self.send().await {
                return;
            }
        }
    }

    /// Sends what is there; gives whether the client took it.
    async fn send(&mut self) -> bool {
        let sent = timeout(self.write, send(&mut self.stream, &self.output)).await;
        self.output.clear();
        let taken = matches!(sent, Ok(Ok(())));
        if !taken {
            self.handler.metrics().send_failed.count();
        }
        taken
    }

    /// Answers the queries that are there, until the answers are [`FULL`]. Gives whether the client makes sense: who sends
    /// a response, or what is no message at all, will not send anything better.
    fn answer(&mut self, random: &mut SplitMix, reply: &mut Vec<u8>) -> bool {
        let now = self.clock.now();
        let mut done = 0;
        let mut sane = true;
        while let Some(message) = first_message(&self.input[done..]) {
            let begun = self.handler.begin(message, self.client, self.transport, now, random, reply);
            done += PREFIX + message.len();
            match begun {
                Begun::Written => self.put(reply),
                // RFC 7766, 6.2.1.1: answers leave as they are ready, in whatever order.
                Begun::Later(later) => {
                    self.waiting.spawn(later.complete());
                }
                Begun::Nothing => sane = false,
            }
            if !sane || self.output.len() >= FULL {
                break;
            }
        }
        self.input.drain(..done);
        sane
    }

    /// Puts a reply behind those that will be sent.
    fn put(&mut self, reply: &[u8]) {
        // A reply is never longer than its length can tell; of one that failed there is nothing.
        if let (false, Ok(length)) = (reply.is_empty(), u16::try_from(reply.len())) {
            self.output.extend(length.to_be_bytes());
            self.output.extend(reply);
        }
    }
}

/// What a connection goes on with.
enum Event {
    /// A query is there.
    Query,
    /// A reply that had to wait is there.
    Late(Vec<u8>),
    /// Nothing more comes.
    End,
}

/// Writes all of it, and what an encrypting stream keeps back.
async fn send(stream: &mut (impl AsyncWrite + Unpin), output: &[u8]) -> io::Result<()> {
    stream.write_all(output).await?;
    stream.flush().await
}

/// Reads until there is a whole query; false if the client has closed its side. Nothing is lost if it is given up.
async fn read_query(stream: &mut (impl AsyncRead + Unpin), input: &mut Vec<u8>) -> io::Result<bool> {
    while first_message(input).is_none() {
        input.reserve(missing(input).max(ROOM));
        if stream.read_buf(input).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The first message in `input`, if it is whole.
fn first_message(input: &[u8]) -> Option<&[u8]> {
    let (length, rest) = input.split_first_chunk::<PREFIX>()?;
    rest.get(..u16::from_be_bytes(*length).into())
}

/// How many octets of the first message are still to come, as far as that is known.
fn missing(input: &[u8]) -> usize {
    let length = input.first_chunk::<PREFIX>().map_or(0, |length| u16::from_be_bytes(*length).into());
    (PREFIX + length).saturating_sub(input.len())
}
