//! What is known of backends that register, as metrics.

use super::exposition::Exposition;
use crate::balance::registration::RegistrationCounts;

/// Appends the metrics of registration.
pub fn write(counts: &RegistrationCounts, out: &mut Exposition) {
    out.gauge("athena_registered_backends", "Backends that registered and have not left.")
        .sample(&[], counts.present);
    out.gauge("athena_registered_backends_limit", "Most that may be registered at once; 0: none may.")
        .sample(&[], counts.limit.unwrap_or(0));
    out.counter("athena_registrations", "Registrations, by what came of them.")
        .sample(&[("outcome", "joined")], counts.joined)
        .sample(&[("outcome", "left")], counts.left)
        .sample(&[("outcome", "turned_away")], counts.turned_away);
}
