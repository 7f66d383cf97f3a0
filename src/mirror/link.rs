//! One peer as the rest of Athena sees it: what waits for it, and what is in the way. A [`session`](super::session) does
//! the rest.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::Peer;
use super::queue::{Queue, Taken};
use crate::balance::Name;
use crate::balance::durable::Durable;
use crate::metrics::PeerMetrics;

/// Why a peer was not reached, or what is wrong with what it says.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The connection failed.
    #[error("{0}")]
    Connect(io::Error),
    /// Something did not come in time.
    #[error("{0} within {1:?}")]
    Silent(&'static str, Duration),
    /// It answered with an error.
    #[error("it refuses: {0} {1}")]
    Refused(u16, String),
    /// It answered something that no Athena says.
    #[error("it sends nonsense: {0}")]
    Nonsense(String),
    /// We could not take what it holds.
    #[error("what it holds cannot be taken here: {0}")]
    NotTaken(String),
    /// It is this very process.
    #[error("it is this Athena itself")]
    Ourselves,
    /// It is another process with our name, and stamps would not tell us apart.
    #[error("it is called {0} as we are, and each needs a mirror.name of its own")]
    SameName(String),
}

/// What the rest of Athena sees of a peer.
pub struct Link {
    pub(super) peer: Peer,
    queue: Mutex<Queue>,
    pub(super) wake: Notify,
    pub(super) metrics: Arc<PeerMetrics>,
    /// Something was dropped: only an exchange of states can make it good.
    pub(super) doubts: AtomicBool,
    /// Whether its state was taken once.
    pub(super) met: watch::Sender<bool>,
    /// Whether something is queued or on its way, and the peer takes it.
    busy: watch::Sender<bool>,
}

impl Link {
    /// A peer that was not reached yet, for which up to `queue` names wait.
    pub fn new(peer: Peer, queue: usize) -> Self {
        Self {
            metrics: Arc::new(PeerMetrics::new(peer.to_string())),
            peer,
            queue: Mutex::new(Queue::new(queue)),
            wake: Notify::new(),
            doubts: AtomicBool::new(false),
            met: watch::Sender::new(false),
            busy: watch::Sender::new(false),
        }
    }

    /// Where it is.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What is known of it.
    pub fn metrics(&self) -> &Arc<PeerMetrics> {
        &self.metrics
    }

    /// Marks a backend: its fields from `turn` on are to be sent. Takes the queue's lock.
    pub fn report(&self, name: &Name, turn: u64) {
        let (dropped, length) = self.with_queue(|queue| (queue.report(name, turn), queue.len()));
        self.queued(dropped, length);
    }

    /// Marks a decision. Takes the queue's lock.
    pub fn decide(&self, record: Durable) {
        let (dropped, length) = self.with_queue(|queue| (queue.decide(record), queue.len()));
        self.queued(dropped, length);
    }

    /// The same for what the peer turned out to lack: there is another exchange for what finds no room.
    pub fn repair_report(&self, name: &Name, turn: u64) {
        match self.with_queue(|queue| queue.is_full()) {
            true => self.doubts.store(true, Ordering::Release),
            false => self.report(name, turn),
        }
    }

    /// The same for a decision.
    pub fn repair_decision(&self, record: Durable) {
        match self.with_queue(|queue| queue.is_full()) {
            true => self.doubts.store(true, Ordering::Release),
            false => self.decide(record),
        }
    }

    fn queued(&self, dropped: bool, length: usize) {
        self.metrics.queued.store(length as u64, Ordering::Relaxed);
        if dropped {
            self.metrics.dropped.count();
            self.doubts.store(true, Ordering::Release);
        }
        self.busy.send_if_modified(|busy| !std::mem::replace(busy, true));
        self.wake.notify_one();
    }

    /// Waits until its state was taken once.
    pub async fn met(&self) {
        // The sender lives in `self`.
        let _ = self.met.subscribe().wait_for(|met| *met).await;
    }

    /// Waits until all that is queued was sent, or cannot be.
    pub async fn sent_all(&self) {
        let _ = self.busy.subscribe().wait_for(|busy| !*busy).await;
    }

    /// Does something with the queue. Takes its lock.
    pub(super) fn with_queue<T>(&self, work: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue: MutexGuard<'_, Queue> = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut queue)
    }

    /// Queues again what could not be sent. Takes the queue's lock.
    pub(super) fn put_back(&self, taken: Taken) {
        let (dropped, length) = self.with_queue(|queue| (queue.put_back(taken), queue.len()));
        self.metrics.queued.store(length as u64, Ordering::Relaxed);
        if dropped > 0 {
            self.metrics.dropped.add(dropped);
            self.doubts.store(true, Ordering::Release);
        }
    }

    /// Nothing is on its way any more, or nothing can be.
    pub(super) fn quiet(&self) {
        self.busy.send_if_modified(|busy| std::mem::replace(busy, false));
    }
}
