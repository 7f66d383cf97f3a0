//! What the shells count. The core counts for itself (`Farm::answers`, `BackendStatus`, `Engine::counts`).
//!
//! A [`Counter`] is spread over a few cache lines, one for each thread that counts, so that cores which answer queries
//! do not pass one line to and fro. Reading adds the lines up.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::balance::Moment;

mod forward;
mod probe;

pub use forward::{ForwardMetrics, UpstreamMetrics};
pub use probe::{ProbeMetrics, ProbeReason, ProbeState};

/// Lines of a counter. A power of two; threads beyond share.
const LINES: usize = 8;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line(AtomicU64);

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter([Line; LINES]);

impl Counter {
    /// Adds one.
    #[inline]
    pub fn count(&self) {
        self.add(1);
    }

    /// Adds `more`: for loops that count a batch at once.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0[line()].0.fetch_add(more, Relaxed);
    }

    /// The sum.
    pub fn get(&self) -> u64 {
        self.0.iter().map(|line| line.0.load(Relaxed)).sum()
    }
}

/// This thread's line.
fn line() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static LINE: usize = NEXT.fetch_add(1, Relaxed) % LINES);
    LINE.with(|line| *line)
}

/// Everything the shells count.
#[derive(Debug, Default)]
pub struct Metrics {
    /// DNS.
    pub dns: DnsMetrics,
    /// HTTP.
    pub http: HttpMetrics,
    /// Other Athenas.
    pub mirror: MirrorMetrics,
    /// Names that are not ours.
    pub forward: ForwardMetrics,
    /// HAProxy's agent-checks.
    pub agent: AgentMetrics,
    /// Backends that we look at ourselves.
    pub probes: ProbeMetrics,
}

/// What DNS counts: each message received is counted under one transport and, unless dropped, under one outcome.
#[derive(Debug, Default)]
pub struct DnsMetrics {
    /// Messages over UDP.
    pub udp: Counter,
    /// Messages over TCP.
    pub tcp: Counter,
    /// Messages over TLS.
    pub tls: Counter,
    /// Messages over HTTPS.
    pub https: Counter,
    /// Messages over QUIC.
    pub quic: Counter,
    /// Messages without an answer: too short for a header, or responses themselves.
    pub dropped: Counter,
    /// NOERROR with records in the answer section.
    pub answered: Counter,
    /// NOERROR without: the name is there, the type is not.
    pub nodata: Counter,
    /// NOERROR with a delegation.
    pub referral: Counter,
    /// NXDOMAIN
    pub nxdomain: Counter,
    /// REFUSED
    pub refused: Counter,
    /// SERVFAIL
    pub servfail: Counter,
    /// FORMERR
    pub formerr: Counter,
    /// NOTIMP
    pub notimp: Counter,
    /// BADVERS
    pub badvers: Counter,
    /// BADCOOKIE
    pub badcookie: Counter,
    /// Replies with TC set.
    pub truncated: Counter,
    /// Cookies that held.
    pub cookie_valid: Counter,
    /// Cookies that were new, old or forged.
    pub cookie_invalid: Counter,
    /// TCP connections accepted, those of TLS and HTTPS among them.
    pub tcp_accepted: Counter,
    /// TCP connections turned away by a limit.
    pub tcp_refused: Counter,
    /// QUIC connections accepted.
    pub quic_accepted: Counter,
    /// QUIC connections turned away by a limit.
    pub quic_refused: Counter,
    /// Handshakes of TLS and QUIC that failed or took too long.
    pub handshake_failed: Counter,
    /// Replies that could not be sent.
    pub send_failed: Counter,
    /// Calls to receive that failed; a query may or may not be lost.
    pub receive_failed: Counter,
}

impl DnsMetrics {
    /// `Q`: queries answered, whatever the answer.
    pub fn replies(&self) -> u64 {
        let outcomes = [
            &self.answered,
            &self.nodata,
            &self.referral,
            &self.nxdomain,
            &self.refused,
            &self.servfail,
            &self.formerr,
            &self.notimp,
            &self.badvers,
            &self.badcookie,
        ];
        outcomes.iter().map(|counter| counter.get()).sum()
    }
}

/// What HTTP counts.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    /// Requests that changed or may have changed something: update, mirror, multi.
    pub update: Counter,
    /// Balance requests.
    pub balance: Counter,
    /// Lines of balance requests answered with a member or a fallback: `B`.
    pub balanced: Counter,
    /// Status requests.
    pub status: Counter,
    /// Requests for metrics, health, readiness and the rest.
    pub other: Counter,
    /// Requests refused for their query string: 400.
    pub bad_request: Counter,
    /// Requests refused for their sender: 403.
    pub forbidden: Counter,
    /// Requests for what is not there: 404.
    pub not_found: Counter,
    /// Other requests that were refused: 405, 413, 414, 431.
    pub refused: Counter,
    /// Requests that could not be served: 5xx.
    pub failed: Counter,
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections turned away by a limit.
    pub turned_away: Counter,
    /// Handshakes of TLS that failed or took too long.
    pub handshake_failed: Counter,
}

/// What agent-checks count: each connection is accepted or refused, and each that was accepted has one outcome.
#[derive(Debug, Default)]
pub struct AgentMetrics {
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections turned away by a limit.
    pub refused: Counter,
    /// Answers with a member's state.
    pub answered: Counter,
    /// Answers about somebody we cannot speak of: not configured, or without an address yet.
    pub unknown: Counter,
    /// Answers to what is no name, or no line.
    pub malformed: Counter,
    /// Answers to those who may not ask.
    pub denied: Counter,
    /// Connections on which nothing was said before they were closed.
    pub silent: Counter,
}

/// What is known of other Athenas.
#[derive(Debug, Default)]
pub struct MirrorMetrics {
    /// Those that we send to, in the order of the configuration.
    pub peers: ArcSwap<Vec<Arc<PeerMetrics>>>,
    /// Fields and decisions taken from others.
    pub taken: Counter,
    /// Fields and decisions of others that were not later than ours.
    pub older: Counter,
    /// Messages of others that made no sense.
    pub refused: Counter,
    /// The last of those: who sent it, why it was refused, and when.
    last_refusal: Mutex<Option<MirrorRefusal>>,
}

/// A message of another Athena that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorRefusal {
    /// Its name and address, as far as they are known.
    pub who: String,
    /// What was wrong.
    pub why: String,
    /// When.
    pub at: Moment,
}

impl MirrorMetrics {
    /// How many peers can be reached, and how many there are.
    pub fn reachable(&self) -> (usize, usize) {
        let peers = self.peers.load();
        (peers.iter().filter(|peer| peer.trouble().is_none()).count(), peers.len())
    }

    /// Counts a refusal and keeps it for people; gives the one before.
    pub fn refuse(&self, refusal: MirrorRefusal) -> Option<MirrorRefusal> {
        self.refused.count();
        self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner).replace(refusal)
    }

    /// The last message that was refused.
    pub fn last_refusal(&self) -> Option<MirrorRefusal> {
        self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What is known of one peer.
#[derive(Debug)]
pub struct PeerMetrics {
    /// Where it is, as a URL.
    pub url: String,
    /// Names that wait to be sent.
    pub queued: AtomicU64,
    /// Requests that it took.
    pub sent: Counter,
    /// Names that found no room in the queue, or that it would not take.
    pub dropped: Counter,
    /// Attempts that failed.
    pub failures: Counter,
    /// When it last answered well, in nanoseconds of [`Moment`]; 0: never.
    pub last_success: AtomicU64,
    /// Whether it turned out to be this Athena itself.
    pub is_ourselves: AtomicBool,
    trouble: Mutex<Option<String>>,
}

impl PeerMetrics {
    /// A peer that was not reached yet.
    pub fn new(url: String) -> Self {
        Self {
            url,
            queued: AtomicU64::new(0),
            sent: Counter::default(),
            dropped: Counter::default(),
            failures: Counter::default(),
            last_success: AtomicU64::new(0),
            is_ourselves: AtomicBool::new(false),
            trouble: Mutex::new(Some("not reached yet".to_owned())),
        }
    }

    /// What is in the way; `None`: it is reachable and takes what we send.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what is in the way, or that nothing is; gives what was before.
    pub fn set_trouble(&self, trouble: Option<String>) -> Option<String> {
        std::mem::replace(&mut *self.trouble.lock().unwrap_or_else(PoisonError::into_inner), trouble)
    }

    /// When it last answered well.
    pub fn last_success(&self) -> Option<Moment> {
        Some(self.last_success.load(Relaxed)).filter(|at| *at > 0).map(Moment::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_adds_up_over_threads() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..100).for_each(|_| counter.count()));
            }
        });
        counter.add(5);
        assert_eq!(counter.get(), 2005);
    }
}
