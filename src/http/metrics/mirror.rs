//! What is known of other Athenas, as metrics.

use std::sync::atomic::Ordering::Relaxed;

use super::exposition::Exposition;
use crate::metrics::{MirrorMetrics, PeerMetrics};

/// Appends the metrics of the mirror.
pub fn write(mirror: &MirrorMetrics, out: &mut Exposition) {
    out.counter("athena_mirror_taken", "Fields and decisions taken from other Athenas.")
        .sample(&[], mirror.taken.get());
    out.counter(
        "athena_mirror_older",
        "Fields and decisions of other Athenas that were not later than ours.",
    )
    .sample(&[], mirror.older.get());
    out.counter("athena_mirror_refused", "Messages of other Athenas that made no sense.")
        .sample(&[], mirror.refused.get());
    let peers = mirror.peers.load();
    let gauges: [(&str, &str, fn(&PeerMetrics) -> f64); 3] = [
        ("athena_mirror_peer_reachable", "Whether the peer is in step.", |peer| {
            f64::from(u8::from(peer.trouble().is_none()))
        }),
        ("athena_mirror_peer_queued", "Backends and decisions that wait to be sent.", |peer| {
            peer.queued.load(Relaxed) as f64
        }),
        (
            "athena_mirror_peer_last_success_timestamp_seconds",
            "When the peer last answered well, in seconds since the Unix epoch; 0: never.",
            |peer| peer.last_success().map_or(0.0, |at| at.unix().as_secs_f64()),
        ),
    ];
    for (name, help, value) in gauges {
        let mut family = out.gauge(name, help);
        for peer in peers.iter() {
            family.sample(&[("peer", &peer.url)], value(peer));
        }
    }
    let counters: [(&str, &str, fn(&PeerMetrics) -> u64); 3] = [
        ("athena_mirror_peer_sent", "Requests that the peer took.", |peer| peer.sent.get()),
        (
            "athena_mirror_peer_dropped",
            "Backends and decisions that found no room in the queue, or that the peer cannot take.",
            |peer| peer.dropped.get(),
        ),
        ("athena_mirror_peer_failures", "Attempts that failed.", |peer| peer.failures.get()),
    ];
    for (name, help, value) in counters {
        let mut family = out.counter(name, help);
        for peer in peers.iter() {
            family.sample(&[("peer", &peer.url)], value(peer));
        }
    }
}
