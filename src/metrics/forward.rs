//! What forwarding counts.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;

use super::Counter;

/// Questions for names that are not ours, each counted under one outcome.
#[derive(Debug, Default)]
pub struct ForwardMetrics {
    /// Answered from the cache.
    pub cached: Counter,
    /// Answered by an upstream, be it with what is not there.
    pub answered: Counter,
    /// Answered by ourselves: names of special use.
    pub special: Counter,
    /// No upstream gave a sensible answer: SERVFAIL.
    pub failed: Counter,
    /// No upstream gave an answer in time: SERVFAIL.
    pub timed_out: Counter,
    /// Too many were in flight: SERVFAIL.
    pub dropped: Counter,
    /// From clients that may not ask, or that asked for no recursion: REFUSED.
    pub refused: Counter,
    /// In flight now.
    pub in_flight: AtomicUsize,
    /// Whom we ask, in the order of the configuration.
    pub upstreams: ArcSwap<Vec<Arc<UpstreamMetrics>>>,
}

/// What is known of one upstream.
#[derive(Debug)]
pub struct UpstreamMetrics {
    /// Its address and port.
    pub address: String,
    /// Sensible answers.
    pub answered: Counter,
    /// Questions that it did not answer in time.
    pub timed_out: Counter,
    /// Questions for which it could not be reached.
    pub unreachable: Counter,
    /// Questions that it said it could not or would not answer.
    pub declined: Counter,
    /// Answers that made no sense.
    pub nonsense: Counter,
}

impl UpstreamMetrics {
    /// One that was not asked yet.
    pub fn new(address: String) -> Self {
        let [answered, timed_out, unreachable, declined, nonsense] = Default::default();
        Self { address, answered, timed_out, unreachable, declined, nonsense }
    }
}
