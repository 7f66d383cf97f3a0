//! What came of one run.

use super::machine::{Nanos, SECOND};

/// Figures of one run. Times are in seconds of virtual time.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Requests that count: those that arrived after the warm-up.
    pub requests: u64,
    /// Mean response time.
    pub mean: f64,
    /// The 0.99 quantile of the response times.
    pub p99: f64,
    /// The worst member's part of the requests over its part of the capacity: 1 is fair.
    pub worst: f64,
    /// The part of the answers that differed from the answer before.
    pub moves: f64,
    /// The part of the requests for which Athena had nobody to give; they are in none of the figures above.
    pub unanswered: f64,
    /// The largest part of its capacity that any member was asked to deliver.
    pub overload: f64,
    /// Whether a member was asked for more than it can deliver, beyond what chance does: its queue grows for ever, and the
    /// times above depend on how long the run was.
    pub overloaded: bool,
}

/// Collects response times.
#[derive(Debug, Default)]
pub struct Responses {
    /// From when on arrivals count.
    pub from: Nanos,
    sum: f64,
    each: Vec<f32>,
}

impl Responses {
    /// Makes room for so many, which arrive from `from` on.
    pub fn new(from: Nanos, requests: usize) -> Self {
        Self { from, sum: 0.0, each: Vec::with_capacity(requests) }
    }

    /// Counts a request that arrived and was done.
    #[inline]
    pub fn count(&mut self, arrived: Nanos, done: Nanos) {
        if arrived >= self.from {
            let response = (done - arrived) as f64 / SECOND;
            self.sum += response;
            self.each.push(response as f32);
        }
    }

    /// How many were counted.
    pub fn len(&self) -> usize {
        self.each.len()
    }

    /// Whether none was counted.
    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// Mean and 0.99 quantile; 0 of nothing.
    pub fn summary(mut self) -> (f64, f64) {
        if self.each.is_empty() {
            return (0.0, 0.0);
        }
        let count = self.each.len();
        let place = (count * 99 / 100).min(count - 1);
        let (_, p99, _) = self.each.select_nth_unstable_by(place, f32::total_cmp);
        (self.sum / count as f64, f64::from(*p99))
    }
}
