//! One thread's loop: wait, receive a batch, answer it, send it.

use std::cell::Cell;
use std::io::{IoSlice, IoSliceMut, PipeReader};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, recvmmsg, sendmmsg};

use super::socket::{self, Family, V4, V6};
use super::{Answer, BATCH, LONGEST_QUERY, Listener, PLACE, Place, Reply};
use crate::balance::Moment;
use crate::clock::Clock;
use crate::metrics::Metrics;

/// Batches that a busy thread takes before it looks at its other sockets.
const PATIENCE: u32 = 8;
/// Batches that are answered at the end, at most: more datagrams than a queue holds.
const LAST_BATCHES: usize = 1024;
/// How long a full send queue may stay full before the rest of a batch is given up.
const FULL_QUEUE: u8 = 100;
/// Failures to receive in a row after which a socket is left alone for a moment.
const FAILURES: u32 = 16;
/// That moment, in milliseconds.
const PAUSE: u8 = 100;
/// Between two log lines about the same.
const QUIET: Duration = Duration::from_secs(10);

/// A thread: its lanes, and what it answers with.
pub struct Worker<A> {
    lanes: Vec<Lane>,
    buffers: Buffers,
    answer: A,
    metrics: Arc<Metrics>,
    clock: Clock,
    stopping: Arc<AtomicBool>,
    /// Readable as soon as the thread shall end.
    door: PipeReader,
    complaint: Complaint,
}

/// One socket of either family.
struct Lane {
    line: Line,
    /// Whether datagrams may be waiting.
    ready: Cell<bool>,
    /// Failures to receive in a row.
    failures: u32,
    own: bool,
}

enum Line {
    V4(Box<Ends<V4>>),
    V6(Box<Ends<V6>>),
}

/// What a socket needs to receive and to send.
struct Ends<F: Family> {
    listener: Listener,
    received: MultiHeaders<F::Peer>,
    sent: MultiHeaders<F::Peer>,
    /// Who sent each datagram; then, from the front, whom each answer goes to.
    peers: [Option<F::Peer>; BATCH],
    /// To which of our addresses; then from which.
    locals: [Option<F::Local>; BATCH],
}

/// Buffers that all lanes of a thread use in turn. Each datagram has a place, which its answer may overwrite.
struct Buffers {
    places: Box<[Place]>,
    lengths: [usize; BATCH],
    /// Answers that were not written over their query.
    replies: [Vec<u8>; BATCH],
    /// Where each answer is, from the front: the datagram's number, and its length in place or `None` for `replies`.
    answers: [(usize, Option<usize>); BATCH],
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            places: vec![[0; PLACE]; BATCH].into(),
            lengths: [0; BATCH],
            replies: std::array::from_fn(|_| Vec::new()),
            answers: [(0, None); BATCH],
        }
    }
}

impl Buffers {
    fn answer(&self, number: usize) -> &[u8] {
        match self.answers[number] {
            (datagram, Some(length)) => &self.places[datagram][..length],
            (datagram, None) => &self.replies[datagram],
        }
    }
}

impl<A: Answer> Worker<A> {
    /// A thread's loop over these sockets until `stopping` is set and `door` is readable.
    ///
    /// To be made on the thread itself: the system's headers in it point into each other and don't move between threads.
    pub fn new(
        listeners: Vec<Listener>,
        answer: A,
        (metrics, clock): (Arc<Metrics>, Clock),
        (stopping, door): (Arc<AtomicBool>, PipeReader),
    ) -> Self {
        let lanes = listeners.into_iter().map(Lane::new).collect();
        let (buffers, complaint) = Default::default();
        Self { lanes, buffers, answer, metrics, clock, stopping, door, complaint }
    }

    /// Serves until the end.
    pub fn run(&mut self) {
        let mut rounds = PATIENCE;
        while !self.stopping.load(Ordering::Acquire) {
            let busy = self.lanes.iter().any(|lane| lane.ready.get());
            if !busy || rounds >= PATIENCE {
                self.wait();
                rounds = 0;
            }
            rounds += 1;
            for lane in 0..self.lanes.len() {
                if self.lanes[lane].ready.get() {
                    let count = self.serve(lane);
                    // Several at once: likely there are more by now, and asking costs less than waiting.
                    self.lanes[lane].ready.set(count > 1);
                }
            }
        }
        self.finish();
    }

    /// Sleeps until a datagram comes or the thread shall end.
    ///
    /// By poll and not by epoll: a socket that an epoll watches wakes it for every datagram that has left, which costs 8 %
    /// of the whole answer; poll watches only while it waits, and a busy thread does not wait.
    fn wait(&mut self) {
        let sockets = self.lanes.iter().map(|lane| lane.listener().socket.as_fd());
        let watch = |one| PollFd::new(one, PollFlags::POLLIN);
        let mut watched: Vec<PollFd<'_>> = sockets.chain([self.door.as_fd()]).map(watch).collect();
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) => {
                for (lane, one) in self.lanes.iter().zip(&watched) {
                    lane.ready.set(one.any() == Some(true));
                }
            }
            Err(Errno::EINTR) => {}
            Err(error) => {
                self.complaint.tell(self.clock.now(), || format!("udp: cannot wait for queries: {error}"));
                self.pause();
            }
        }
    }

    /// Waits a moment, or until the thread shall end.
    fn pause(&self) {
        let mut door = [PollFd::new(self.door.as_fd(), PollFlags::POLLIN)];
        // Whatever comes of it, the moment has passed.
        let _ = poll(&mut door, PollTimeout::from(PAUSE));
    }

    /// Answers one batch from one lane; gives the number of datagrams.
    fn serve(&mut self, index: usize) -> usize {
        let lane = &mut self.lanes[index];
        let mut work = Work {
            buffers: &mut self.buffers,
            answer: &mut self.answer,
            metrics: &self.metrics,
            clock: self.clock,
            complaint: &mut self.complaint,
        };
        let (received, address) = match &mut lane.line {
            Line::V4(ends) => (work.batch(ends), ends.listener.address),
            Line::V6(ends) => (work.batch(ends), ends.listener.address),
        };
        match received {
            Ok(count) => {
                lane.failures = 0;
                count
            }
            Err(Errno::EAGAIN | Errno::EINTR) => 0,
            Err(error) => {
                lane.failures += 1;
                let failures = lane.failures;
                self.metrics.dns.receive_failed.count();
                self.complaint.tell(self.clock.now(), || format!("udp {address}: cannot receive: {error}"));
                if failures >= FAILURES {
                    self.pause();
                }
                0
            }
        }
    }

    /// Shuts the door behind the last datagram, and answers those that are inside.
    fn finish(&mut self) {
        for index in 0..self.lanes.len() {
            let lane = &self.lanes[index];
            let listener = lane.listener();
            if lane.own
                && let Err(error) = socket::shut(&listener.socket)
            {
                tracing::warn!("udp {}: the last queries may be lost: {error}", listener.address);
            }
            let mut left = LAST_BATCHES;
            while left > 0 && self.serve(index) > 0 {
                left -= 1;
            }
        }
    }
}

impl Lane {
    fn new(listener: Listener) -> Self {
        let own = listener.own;
        let line = match listener.address {
            SocketAddr::V4(_) => Line::V4(Box::new(Ends::new(listener))),
            SocketAddr::V6(_) => Line::V6(Box::new(Ends::new(listener))),
        };
        Self { line, ready: Cell::new(false), failures: 0, own }
    }

    fn listener(&self) -> &Listener {
        match &self.line {
            Line::V4(ends) => &ends.listener,
            Line::V6(ends) => &ends.listener,
        }
    }
}

impl<F: Family> Ends<F> {
    fn new(listener: Listener) -> Self {
        let headers = || {
            let room = listener.address.ip().is_unspecified().then(F::room);
            MultiHeaders::preallocate(BATCH, room)
        };
        let (received, sent) = (headers(), headers());
        Self { received, sent, listener, peers: [None; BATCH], locals: [None; BATCH] }
    }

    /// Takes what is waiting, at most a batch.
    fn receive(&mut self, buffers: &mut Buffers) -> Result<usize, Errno> {
        let mut room: [_; BATCH] = std::array::from_fn(|_| [IoSliceMut::new(&mut [])]);
        for (room, place) in room.iter_mut().zip(&mut buffers.places) {
            room[0] = IoSliceMut::new(&mut place[..LONGEST_QUERY]);
        }
        let descriptor = self.listener.socket.as_raw_fd();
        let mut count = 0;
        for message in recvmmsg(descriptor, &mut self.received, &mut room, MsgFlags::MSG_DONTWAIT, None)? {
            let local = message.cmsgs().ok().and_then(|mut messages| messages.find_map(|one| F::local(&one)));
            buffers.lengths[count] = message.bytes;
            (self.peers[count], self.locals[count]) = (message.address, local);
            count += 1;
        }
        Ok(count)
    }

    /// Sends answers `start..end`, which all leave from the same address; gives how many the system took, at least one.
    fn send(&mut self, buffers: &Buffers, start: usize, end: usize) -> Result<usize, Errno> {
        let messages: [_; BATCH] = std::array::from_fn(|number| [IoSlice::new(buffers.answer(number))]);
        let via = self.locals[start].as_ref().map(F::from);
        let via: &[ControlMessage<'_>] = via.as_slice();
        let descriptor = self.listener.socket.as_raw_fd();
        let (messages, to) = (&messages[start..end], &self.peers[start..end]);
        sendmmsg(descriptor, &mut self.sent, messages, to, via, MsgFlags::MSG_DONTWAIT).map(Iterator::count)
    }
}

/// What one batch needs beside its socket.
struct Work<'a, A> {
    buffers: &'a mut Buffers,
    answer: &'a mut A,
    metrics: &'a Metrics,
    clock: Clock,
    complaint: &'a mut Complaint,
}

impl<A: Answer> Work<'_, A> {
    fn batch<F: Family>(&mut self, ends: &mut Ends<F>) -> Result<usize, Errno> {
        let received = ends.receive(self.buffers)?;
        if received == 0 {
            return Ok(0);
        }
        let now = self.clock.now();
        let mut unanswerable = 0;
        let mut answers = 0;
        for index in 0..received {
            let (peer, local) = (ends.peers[index], ends.locals[index]);
            let Some(client) = peer.as_ref().map(F::client).filter(|client| client.port() != 0) else {
                unanswerable += 1;
                continue;
            };
            let Buffers { places, lengths, replies, answers: order } = &mut *self.buffers;
            let (place, reply) = (&mut places[index], &mut replies[index]);
            let length = match self.answer.answer(place, lengths[index], client, now, reply) {
                Reply::None => continue,
                Reply::InPlace(length) => Some(length.min(PLACE)),
                Reply::Apart => None,
            };
            order[answers] = (index, length);
            (ends.peers[answers], ends.locals[answers]) = (peer, local);
            answers += 1;
        }
        self.send(ends, answers, now);
        if unanswerable > 0 {
            self.metrics.dns.udp.add(unanswerable);
            self.metrics.dns.dropped.add(unanswerable);
        }
        self.answer.settle();
        Ok(received)
    }

    /// Sends every answer or counts it as lost. One call for each run of answers that leave from the same address.
    fn send<F: Family>(&mut self, ends: &mut Ends<F>, answers: usize, now: Moment) {
        let mut start = 0;
        let mut patience = 3;
        while start < answers {
            let run =
                ends.locals[start..answers].iter().take_while(|&&local| local == ends.locals[start]).count();
            match ends.send(self.buffers, start, start + run) {
                // sendmmsg(2): an error behind the first message is told by the next call, which begins with that one.
                Ok(sent) => start += sent.max(1),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN | Errno::ENOBUFS) if patience > 0 => {
                    patience = if has_room(&ends.listener) { patience - 1 } else { 0 };
                }
                Err(error) => {
                    // With the queue full the others would fail as well; else one bad answer must not hold them up.
                    let full = matches!(error, Errno::EAGAIN | Errno::ENOBUFS);
                    let lost = if full { answers - start } else { 1 };
                    start += lost;
                    self.metrics.dns.send_failed.add(lost as u64);
                    let address = ends.listener.address;
                    self.complaint.tell(now, || format!("udp {address}: cannot send an answer: {error}"));
                }
            }
        }
    }
}

/// Waits until the send queue has room; gives whether it has.
fn has_room(listener: &Listener) -> bool {
    let mut socket = [PollFd::new(listener.socket.as_fd(), PollFlags::POLLOUT)];
    poll(&mut socket, PollTimeout::from(FULL_QUEUE)).is_ok_and(|count| count > 0)
}

/// Logs what goes wrong again and again once in a while.
#[derive(Debug, Default)]
struct Complaint {
    last: Option<Moment>,
    kept: u64,
}

impl Complaint {
    fn tell(&mut self, now: Moment, message: impl FnOnce() -> String) {
        if self.last.is_some_and(|last| now.since(last) < QUIET) {
            self.kept += 1;
            return;
        }
        self.last = Some(now);
        let kept = std::mem::take(&mut self.kept);
        match kept {
            0 => tracing::warn!("{}", message()),
            _ => tracing::warn!("{} ({kept} more failures since the last line)", message()),
        }
    }
}
