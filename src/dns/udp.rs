//! UDP at the speed of the kernel: datagrams in batches, one thread a core, no task, no channel, no allocation a query.
//!
//! Nearly all that an answer costs is two passes through the kernel. So a thread waits for the first datagram and takes up
//! to [`BATCH`] of them with one `recvmmsg`, answers each into a buffer that it keeps, and hands all answers over with one
//! `sendmmsg`; it reads the clock and writes the counters once a batch. Nothing in between blocks: what an answer needs is
//! in memory.
//!
//! **Threads and sockets.** Each thread has a socket of its own (`SO_REUSEPORT`), and the kernel picks the socket by a hash
//! of both ends' addresses and ports. Threads share nothing, and a datagram costs no wake-up of others.
//! But a client that sends from one port, as an nginx worker, HAProxy's resolver or Squid does, always meets the same
//! thread: with few clients threads are loaded unevenly, and one client alone gets one thread's speed. That is some
//! hundred thousand answers a second, more than any one such client asks for, so nothing is spread further;
//! `tests/bench/README.md` has the figures. A socket that is handed in ([`Udp::adopt`]) is shared by all threads, which
//! take turns to receive from it. An address is a [`Udp`]; a server of several has several.
//!
//! **Addresses.** IPv6 sockets are IPv6 only. On a wildcard address an answer leaves from the address that its query came
//! to (RFC 2181, section 4.1), by `IP_PKTINFO`; on any other address the kernel sees to that.
//!
//! **Errors.** No error of a socket ends a thread: it is counted, logged once in a while, and the loop goes on.
//!
//! **The end.** [`Running::stop`] first shuts the door: a socket of our own is connected to itself, so the kernel gives it
//! nothing more but the knock that wakes its thread. What is in the queue by then is answered, and then the threads end.
//! A socket that was handed in belongs to others too; it is left open for them.

mod batch;
mod outbox;
mod socket;
mod way;

use std::io::{self, PipeWriter};
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::balance::Moment;
use crate::clock::Clock;
use crate::metrics::Metrics;

pub use way::Way;

/// Datagrams received, answered and sent at once.
pub const BATCH: usize = 64;

/// Octets of the longest query taken whole, more than we offer to take (RFC 6891, section 6.2.3). A longer one arrives
/// cut short and is answered as what it then is.
pub const LONGEST_QUERY: usize = 1280;

/// Octets of a datagram's place. A line of the cache more than the longest query needs, so that neighbours do not fall on
/// the same lines.
pub const PLACE: usize = LONGEST_QUERY + 64;

/// One datagram's place.
pub type Place = [u8; PLACE];

/// Answers datagrams; each thread has its own.
pub trait Answer: 'static {
    /// Takes the batch's datagram of this `number`, from 0 on, in the first `length` octets of `place`, at most
    /// [`LONGEST_QUERY`], with its sender, and writes the answer over it, or to `reply`, which holds an earlier one. Counts the
    /// query and its outcome. Must not block. Some numbers may be left out.
    fn answer(
        &mut self,
        number: usize,
        place: &mut Place,
        length: usize,
        client: SocketAddr,
        now: Moment,
        reply: &mut Vec<u8>,
    ) -> Reply;

    /// Called with each batch before the first of its datagrams is answered: what all of them need can be fetched here,
    /// so that memory is waited for once, and not for each. Each slice begins with a datagram and goes on behind it with octets
    /// that mean nothing. Counts nothing, keeps nothing.
    fn expect<'a>(&mut self, _: impl Iterator<Item = &'a [u8]>) {}

    /// Whether the last datagram, to which there was no answer, gets one later.
    fn waits(&self) -> bool {
        false
    }

    /// Takes the way back to the sender of that datagram.
    fn wait(&mut self, _way: Way) {}

    /// Called after each batch: counts what was put aside.
    fn settle(&mut self) {}
}

/// Where the answer to a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// There is none.
    None,
    /// In so many octets of the datagram's own place.
    InPlace(usize),
    /// In the other buffer.
    Apart,
}

/// Why the sockets could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum UdpError {
    /// An address that is taken, not ours, or not allowed.
    #[error("udp {address}: cannot listen: {cause}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// A socket handed in that cannot serve.
    #[error("udp: a socket that was handed in cannot be used: {0}")]
    Adopt(io::Error),
    /// The system refused a thread or a pipe.
    #[error("udp: cannot start: {0}")]
    Start(io::Error),
}

/// An address that is listened on; nobody answers yet, and nothing is lost: datagrams queue up until
/// [`spawn`](Self::spawn).
#[derive(Debug)]
pub struct Udp {
    /// Each thread's socket.
    sockets: Vec<Arc<UdpSocket>>,
    address: SocketAddr,
    /// Whether it is the same one, which is not ours alone.
    shared: bool,
}

/// One thread's way to the address.
#[derive(Debug)]
struct Listener {
    socket: Arc<UdpSocket>,
    address: SocketAddr,
}

impl Udp {
    /// Binds `threads` sockets (0: one for each core) to `address`. Port 0 lets the system choose. Refuses an address
    /// on which anybody listens already, be it with `SO_REUSEPORT`: two servers would share the queries by chance.
    pub fn bind(address: SocketAddr, threads: usize) -> Result<Self, UdpError> {
        let refuse = |cause| UdpError::Bind { address, cause };
        let first = socket::bind_first(address).map_err(refuse)?;
        let address = first.local_addr().map_err(refuse)?;
        let more = (1..count(threads)).map(|_| socket::bind_more(address));
        let sockets = std::iter::once(Ok(first)).chain(more).map(|socket| socket.map(Arc::new));
        let sockets = sockets.collect::<io::Result<_>>().map_err(refuse)?;
        Ok(Self { sockets, address, shared: false })
    }

    /// Takes a socket that somebody else has bound, for example systemd; all `threads` (0: one for each core) wait on it,
    /// and it stays open when the threads end.
    pub fn adopt(socket: UdpSocket, threads: usize) -> Result<Self, UdpError> {
        let address = socket.local_addr().map_err(UdpError::Adopt)?;
        socket::prepare(&socket, address).map_err(UdpError::Adopt)?;
        let sockets = std::iter::repeat_n(Arc::new(socket), count(threads)).collect();
        Ok(Self { sockets, address, shared: true })
    }

    /// Whether all threads wait on the same socket.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// The address bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Starts the threads; `answer` makes what answers on each of them. What
    /// cannot be answered, since it comes from port 0, and failures of sockets are counted here.
    pub fn spawn<A: Answer + Send>(
        self,
        answer: impl Fn() -> A,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Result<Running, UdpError> {
        let Self { sockets, address, shared } = self;
        let (door, keeper) = io::pipe().map_err(UdpError::Start)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let own = if shared { Vec::new() } else { sockets.clone() };
        let mut running =
            Running { stopping: Arc::clone(&stopping), keeper: Some(keeper), own, threads: Vec::new() };
        let turn = shared.then(Arc::default);
        for (index, socket) in sockets.into_iter().enumerate() {
            let listener = Listener { socket, address };
            let shared = (Arc::clone(metrics), clock);
            let end = (Arc::clone(&stopping), door.try_clone().map_err(UdpError::Start)?);
            let (answer, turn) = (answer(), turn.clone());
            let body = move || {
                let mut worker = batch::Worker::new(listener, answer, shared, end, turn);
                // A bug of ours in one answer must not leave a socket that nobody reads.
                while let Err(panic) = catch_unwind(AssertUnwindSafe(|| worker.run())) {
                    let message = panic.downcast_ref::<&str>().copied();
                    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
                    tracing::error!("udp: a thread failed and goes on: {}", message.unwrap_or("no message"));
                }
            };
            let thread = std::thread::Builder::new().name(format!("udp-{index}")).spawn(body);
            running.threads.push(thread.map_err(UdpError::Start)?);
        }
        Ok(running)
    }
}

/// So many threads; 0: one for each core.
fn count(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        some => some,
    }
}

/// Threads that answer. Dropping it stops them too, without waiting.
#[derive(Debug)]
pub struct Running {
    stopping: Arc<AtomicBool>,
    /// Closing it wakes threads that share a socket, and those that pause.
    keeper: Option<PipeWriter>,
    /// Those of threads that wait each on its own.
    own: Vec<Arc<UdpSocket>>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// Takes no more datagrams, answers those in the queue, ends the threads and waits for them.
    pub fn stop(mut self) {
        self.signal();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("udp: a thread ended by a panic");
            }
        }
    }

    fn signal(&mut self) {
        self.stopping.store(true, Ordering::Release);
        self.keeper = None;
        for socket in self.own.drain(..) {
            // Who does not hear it looks up by himself before long.
            let _ = socket::shut(&socket).and_then(|()| socket::knock(&socket));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal();
    }
}

#[cfg(test)]
mod tests;
