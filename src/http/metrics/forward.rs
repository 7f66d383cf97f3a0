//! What forwarding counts, as metrics.

use std::sync::atomic::Ordering::Relaxed;

use super::exposition::Exposition;
use crate::metrics::ForwardMetrics;

/// Appends the metrics of forwarding.
pub fn write(forward: &ForwardMetrics, out: &mut Exposition) {
    out.counter("athena_forward_queries", "Questions for names outside our zones, by outcome.")
        .sample(&[("outcome", "cached")], forward.cached.get())
        .sample(&[("outcome", "answered")], forward.answered.get())
        .sample(&[("outcome", "special")], forward.special.get())
        .sample(&[("outcome", "failed")], forward.failed.get())
        .sample(&[("outcome", "timed_out")], forward.timed_out.get())
        .sample(&[("outcome", "dropped")], forward.dropped.get())
        .sample(&[("outcome", "refused")], forward.refused.get());
    out.gauge("athena_forward_in_flight", "Questions that wait for others now.")
        .sample(&[], forward.in_flight.load(Relaxed));
    let upstreams = forward.upstreams.load();
    let mut family = out.counter("athena_forward_upstream_answers", "What upstreams gave, by outcome.");
    for upstream in upstreams.iter() {
        for (outcome, counter) in [
            ("answered", &upstream.answered),
            ("timed_out", &upstream.timed_out),
            ("unreachable", &upstream.unreachable),
            ("declined", &upstream.declined),
            ("nonsense", &upstream.nonsense),
        ] {
            family.sample(&[("upstream", &upstream.address), ("outcome", outcome)], counter.get());
        }
    }
}
