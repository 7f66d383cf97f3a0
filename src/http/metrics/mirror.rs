//! What is known of other Athenas, as metrics.

use std::sync::atomic::Ordering::Relaxed;

use super::exposition::{Exposition, Family};
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
    let each = |family: &mut Family<'_>, value: &dyn Fn(&PeerMetrics) -> f64| {
        for peer in peers.iter() {
            family.sample(&[("peer", &peer.url)], value(peer));
        }
    };
    each(&mut out.gauge("athena_mirror_peer_reachable", "Whether the peer is in step."), &|peer| {
        f64::from(u8::from(peer.trouble().is_none()))
    });
    let help = "Backends and decisions that wait to be sent.";
    each(&mut out.gauge("athena_mirror_peer_queued", help), &|peer| peer.queued.load(Relaxed) as f64);
    let help = "When the peer last answered well, in seconds since the Unix epoch; 0: never.";
    each(&mut out.gauge("athena_mirror_peer_last_success_timestamp_seconds", help), &|peer| {
        peer.last_success().map_or(0.0, |at| at.unix().as_secs_f64())
    });
    let each = |family: &mut Family<'_>, value: &dyn Fn(&PeerMetrics) -> u64| {
        for peer in peers.iter() {
            family.sample(&[("peer", &peer.url)], value(peer));
        }
    };
    let help = "Requests that the peer took.";
    each(&mut out.counter("athena_mirror_peer_sent", help), &|peer| peer.sent.get());
    let help = "Backends and decisions that found no room in the queue, or that the peer cannot take.";
    each(&mut out.counter("athena_mirror_peer_dropped", help), &|peer| peer.dropped.get());
    let help = "Attempts that failed.";
    each(&mut out.counter("athena_mirror_peer_failures", help), &|peer| peer.failures.get());
}
