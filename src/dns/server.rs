//! DNS over TCP (RFC 7766): the accept loop, the limits, one task a connection.
//!
//! A connection may send as many queries as it likes without waiting. Each answer is ready as soon as its query is read,
//! so they leave in the order they came in, many at a time. What a client can hold is bounded: connections in all and by
//! address, one query's octets, [`FULL`] octets of answers, and the time to read them. Nothing here waits for another
//! client.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::balance::random::SplitMix;
use crate::clock::Clock;

use super::handler::{Handler, Transport};
use super::{Options, TcpOptions};

/// Answers that wait to be written: beyond so many octets the connection's next query is not read.
const FULL: usize = 1 << 16;
/// Octets of the length in front of each message (RFC 1035, 4.2.2).
const PREFIX: usize = 2;
/// Room for queries at first; a longer one gets its own.
const ROOM: usize = 512;
/// How long to wait when no connection can be accepted, which is for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves TCP on any number of listeners, under common limits.
pub struct TcpServer {
    handler: Arc<Handler>,
    clock: Clock,
    seats: Arc<Seats>,
}

impl TcpServer {
    /// A server that lets `handler` answer. Its limits are those of the handler's options at each accept.
    pub fn new(handler: Arc<Handler>, clock: Clock) -> Self {
        Self { handler, clock, seats: Arc::default() }
    }

    /// Accepts from `listener` until `stop` turns true or its sender is gone; then closes the listener and the idle
    /// connections, finishes answers that are being written, and returns.
    pub async fn serve(&self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
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
                    if let Some(connection) = self.admit(stream, client) {
                        connections.spawn(connection.run(stop.clone()));
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

    /// Gives the connection a seat, or closes it at once if there is none.
    fn admit(&self, stream: TcpStream, client: SocketAddr) -> Option<Connection> {
        let metrics = self.handler.metrics();
        let authority = self.handler.authority();
        let Options { tcp, .. } = &authority.options;
        let Some(seat) = Seat::take(&self.seats, client.ip().to_canonical(), tcp) else {
            metrics.tcp_refused.count();
            return None;
        };
        metrics.tcp_accepted.count();
        // Answers are small and complete: waiting for more of them only delays.
        let _ = stream.set_nodelay(true);
        Some(Connection {
            stream,
            client,
            handler: Arc::clone(&self.handler),
            clock: self.clock,
            idle: tcp.idle,
            write: tcp.write,
            input: Vec::new(),
            output: Vec::new(),
            _seat: seat,
        })
    }
}

/// Waits until `stop` is true or its sender is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
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
struct Seat {
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
struct Connection {
    stream: TcpStream,
    client: SocketAddr,
    handler: Arc<Handler>,
    clock: Clock,
    idle: Duration,
    write: Duration,
    /// Read and not answered yet: at most one unfinished query more than was answered in the last round.
    input: Vec<u8>,
    /// Answers with their lengths.
    output: Vec<u8>,
    _seat: Seat,
}

impl Connection {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut random = SplitMix::from_system();
        let mut reply = Vec::new();
        loop {
            let stopping = *stop.borrow();
            // Time runs from query to query, not from octet to octet: who sends one at a time gains nothing.
            let ready = tokio::select! {
                biased;
                ready = timeout(self.idle, read_query(&mut self.stream, &mut self.input)) => ready,
                () = stopped(&mut stop) => return,
            };
            let Ok(Ok(true)) = ready else { return };
            let sane = self.answer(&mut random, &mut reply);
            match timeout(self.write, self.stream.write_all(&self.output)).await {
                // What came before the stop is answered, what comes after it is not.
                Ok(Ok(())) if !sane || (stopping && first_message(&self.input).is_none()) => return,
                Ok(Ok(())) => self.output.clear(),
                _ => {
                    self.handler.metrics().send_failed.count();
                    return;
                }
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

    /// Answers the queries that are there, until the answers are [`FULL`]. Gives whether the client makes sense: who sends
    /// a response, or what is no message at all, will not send anything better.
    fn answer(&mut self, random: &mut SplitMix, reply: &mut Vec<u8>) -> bool {
        let now = self.clock.now();
        let mut done = 0;
        let mut sane = true;
        while let Some(message) = first_message(&self.input[done..]) {
            let replied = self.handler.respond(message, self.client, Transport::Tcp, now, random, reply);
            done += PREFIX + message.len();
            // A reply is never longer than its length can tell.
            if let (true, Ok(length)) = (replied, u16::try_from(reply.len())) {
                self.output.extend(length.to_be_bytes());
                self.output.extend(reply.iter());
            }
            sane = replied;
            if !sane || self.output.len() >= FULL {
                break;
            }
        }
        self.input.drain(..done);
        sane
    }
}

/// Reads until there is a whole query; false if the client has closed its side. Nothing is lost if it is given up.
async fn read_query(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<bool> {
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
