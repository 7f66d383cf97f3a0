//! One thread's loop: wait, receive a batch, answer it, send it.

use std::io::{IoSliceMut, PipeReader};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg};

use super::outbox::{Buffers, Outbox, Sent, Ways};
use super::socket::{self, Family, V4, V6};
use super::{Answer, BATCH, LONGEST_QUERY, Listener, PLACE, Reply, Way};
use crate::balance::Moment;
use crate::clock::Clock;
use crate::metrics::Metrics;

/// Batches that are answered at the end, at most: more datagrams than a queue holds.
const LAST_BATCHES: usize = 1024;
/// Failures to receive in a row after which a socket is left alone for a moment.
const FAILURES: u32 = 16;
/// That moment, in milliseconds.
const PAUSE: u8 = 100;
/// Between two log lines about the same.
const QUIET: Duration = Duration::from_secs(10);

/// A thread: its socket, and what it answers with.
pub struct Worker<A> {
    line: Line,
    /// Failures to receive in a row.
    failures: u32,
    buffers: Buffers,
    answer: A,
    metrics: Arc<Metrics>,
    clock: Clock,
    stopping: Arc<AtomicBool>,
    /// Readable as soon as the thread shall end.
    door: PipeReader,
    /// Whose turn it is to receive, where threads share a socket that is not theirs.
    turn: Option<Arc<Mutex<()>>>,
    complaint: Complaint,
}

/// A socket of either family.
enum Line {
    V4(Box<Ends<V4>>),
    V6(Box<Ends<V6>>),
}

/// What a socket needs to receive and to send.
struct Ends<F: Family> {
    listener: Listener,
    received: MultiHeaders<F::Peer>,
    /// Who sent each datagram, and to which of our addresses, if the answer has to be told.
    ways: [Ways<F>; BATCH],
    outbox: Outbox<F>,
    /// Whether the system tells the address that a datagram came to.
    told: bool,
}

impl<A: Answer> Worker<A> {
    /// A thread's loop over this socket until `stopping` is set and `door` is readable. Where there are turns, the socket
    /// is not its own.
    ///
    /// To be made on the thread itself: the system's headers in it point into each other and don't move between threads.
    pub fn new(
        listener: Listener,
        answer: A,
        (metrics, clock): (Arc<Metrics>, Clock),
        (stopping, door): (Arc<AtomicBool>, PipeReader),
        turn: Option<Arc<Mutex<()>>>,
    ) -> Self {
        let line = match listener.address {
            SocketAddr::V4(_) => Line::V4(Box::new(Ends::new(listener))),
            SocketAddr::V6(_) => Line::V6(Box::new(Ends::new(listener))),
        };
        let (buffers, complaint) = Default::default();
        Self { line, failures: 0, buffers, answer, metrics, clock, stopping, door, turn, complaint }
    }

    /// Serves until the end.
    pub fn run(&mut self) {
        match self.turn.clone() {
            None => self.run_alone(),
            Some(turn) => self.run_in_turn(&turn),
        }
        self.finish();
    }

    /// With a socket of its own: it wakes up with the first datagrams in its hands, so a batch is two calls.
    fn run_alone(&mut self) {
        while !self.stopping.load(Ordering::Acquire) {
            self.serve(MsgFlags::MSG_WAITFORONE);
        }
    }

    /// With a socket that all threads share: one thread at a time waits and takes a batch, then the next one may, while the
    /// first answers.
    fn run_in_turn(&mut self, turn: &Mutex<()>) {
        while !self.stopping.load(Ordering::Acquire) {
            // Nothing is behind this lock that a panic could have left broken.
            let mine = turn.lock().unwrap_or_else(PoisonError::into_inner);
            let count = if self.wait() { self.receive(MsgFlags::MSG_DONTWAIT) } else { 0 };
            drop(mine);
            self.reply(count);
        }
    }

    /// Sleeps until a datagram comes or the thread shall end; gives whether one did. Whoever else has the socket may want
    /// it not to block, so the waiting is done by poll.
    fn wait(&mut self) -> bool {
        let watch = |one| PollFd::new(one, PollFlags::POLLIN);
        let mut watched = [self.listener().socket.as_fd(), self.door.as_fd()].map(watch);
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) => watched[0].any() == Some(true),
            Err(Errno::EINTR) => false,
            Err(error) => {
                self.complaint.tell(self.clock.now(), || format!("udp: cannot wait for queries: {error}"));
                self.pause();
                false
            }
        }
    }

    /// Waits a moment, or until the thread shall end.
    fn pause(&self) {
        let mut door = [PollFd::new(self.door.as_fd(), PollFlags::POLLIN)];
        // Whatever comes of it, the moment has passed.
        let _ = poll(&mut door, PollTimeout::from(PAUSE));
    }

    /// Answers one batch; gives the number of datagrams.
    fn serve(&mut self, wait: MsgFlags) -> usize {
        let count = self.receive(wait);
        self.reply(count);
        count
    }

    /// Takes what is there, at most a batch, or waits for the first; gives the number of datagrams.
    fn receive(&mut self, wait: MsgFlags) -> usize {
        let received = match &mut self.line {
            Line::V4(ends) => ends.receive(&mut self.buffers, wait),
            Line::V6(ends) => ends.receive(&mut self.buffers, wait),
        };
        match received {
            Ok(count) => {
                self.failures = 0;
                return count;
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => {
                self.failures += 1;
                let address = self.listener().address;
                self.metrics.dns.receive_failed.count();
                self.complaint.tell(self.clock.now(), || format!("udp {address}: cannot receive: {error}"));
                if self.failures >= FAILURES {
                    self.pause();
                }
            }
        }
        0
    }

    /// Answers so many datagrams, which were taken.
    fn reply(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let mut work = Work {
            buffers: &mut self.buffers,
            answer: &mut self.answer,
            metrics: &self.metrics,
            now: self.clock.now(),
            complaint: &mut self.complaint,
        };
        match &mut self.line {
            Line::V4(ends) => work.reply(ends, count),
            Line::V6(ends) => work.reply(ends, count),
        }
    }

    /// Shuts the door behind the last datagram, and answers those that are inside.
    fn finish(&mut self) {
        let listener = self.listener();
        if self.turn.is_none()
            && let Err(error) = socket::shut(&listener.socket)
        {
            tracing::warn!("udp {}: the last queries may be lost: {error}", listener.address);
        }
        let mut left = LAST_BATCHES;
        while left > 0 && self.serve(MsgFlags::MSG_DONTWAIT) > 0 {
            left -= 1;
        }
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
        let told = listener.address.ip().is_unspecified();
        let received = MultiHeaders::preallocate(BATCH, told.then(F::room_for_local));
        Self { received, ways: [(None, None); BATCH], outbox: Outbox::new(told), told, listener }
    }

    /// Takes what is there, at most a batch, or waits for the first.
    fn receive(&mut self, buffers: &mut Buffers, wait: MsgFlags) -> Result<usize, Errno> {
        let mut room: [_; BATCH] = std::array::from_fn(|_| [IoSliceMut::new(&mut [])]);
        for (room, place) in room.iter_mut().zip(&mut buffers.places) {
            room[0] = IoSliceMut::new(&mut place[..LONGEST_QUERY]);
        }
        let descriptor = self.listener.socket.as_raw_fd();
        let mut count = 0;
        for message in recvmmsg(descriptor, &mut self.received, &mut room, wait, None)? {
            let local = self.told.then(|| {
                let local =
                    message.cmsgs().ok().and_then(|mut messages| messages.find_map(|one| F::local(&one)));
                local.unwrap_or_else(F::anywhere)
            });
            buffers.lengths[count] = message.bytes;
            self.ways[count] = (message.address, local);
            count += 1;
        }
        Ok(count)
    }
}

/// What one batch needs beside its socket.
struct Work<'a, A> {
    buffers: &'a mut Buffers,
    answer: &'a mut A,
    metrics: &'a Metrics,
    now: Moment,
    complaint: &'a mut Complaint,
}

impl<A: Answer> Work<'_, A> {
    fn reply<F: Family>(&mut self, ends: &mut Ends<F>, received: usize) {
        // A panic may have left something of the batch before.
        ends.outbox.clear();
        self.answer.expect(self.buffers.places[..received].iter().map(|place| &place[..]));
        let mut unanswerable = 0;
        for index in 0..received {
            let ways = ends.ways[index];
            let Some(client) = ways.0.as_ref().map(F::client).filter(|client| client.port() != 0) else {
                unanswerable += 1;
                continue;
            };
            if socket::is_knock(self.buffers.lengths[index], client, ends.listener.address) {
                continue;
            }
            let Buffers { places, lengths, replies } = &mut *self.buffers;
            let (place, reply) = (&mut places[index], &mut replies[index]);
            let length = match self.answer.answer(index, place, lengths[index], client, self.now, reply) {
                Reply::None => {
                    if self.answer.waits() {
                        self.answer.wait(Way::back::<F>(&ends.listener.socket, ways));
                    }
                    continue;
                }
                Reply::InPlace(length) => Some(length.min(PLACE)),
                Reply::Apart => None,
            };
            ends.outbox.put(index, length, self.buffers, ways);
        }
        // Counted before they leave: whoever has an answer finds it counted.
        self.answer.settle();
        let sent = ends.outbox.send(self.buffers, &ends.listener);
        self.note(&sent, unanswerable, ends.listener.address);
    }

    fn note(&mut self, sent: &Sent, unanswerable: u64, address: SocketAddr) {
        if unanswerable > 0 {
            self.metrics.dns.udp.add(unanswerable);
            self.metrics.dns.dropped.add(unanswerable);
        }
        if let Some(error) = sent.error {
            self.metrics.dns.send_failed.add(sent.lost as u64);
            self.complaint.tell(self.now, || format!("udp {address}: cannot send an answer: {error}"));
        }
        if let Some(error) = sent.shares_no_more {
            tracing::info!("udp {address}: answers to one client are sent singly from now on: {error}");
        }
    }
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
