//! What the shells count. The core counts for itself (`Farm::answers`, `BackendStatus`, `Engine::counts`).
//!
//! A [`Counter`] is spread over a few cache lines, one for each thread that counts, so that cores which answer queries
//! do not pass one line to and fro. Reading adds the lines up.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

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
}

/// What DNS counts: each message received is counted under one transport and, unless dropped, under one outcome.
#[derive(Debug, Default)]
pub struct DnsMetrics {
    /// Messages over UDP.
    pub udp: Counter,
    /// Messages over TCP.
    pub tcp: Counter,
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
    /// TCP connections accepted.
    pub tcp_accepted: Counter,
    /// TCP connections turned away by a limit.
    pub tcp_refused: Counter,
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
