//! Short runs of all fuzzers; `tests/fuzz/fuzz.rs` has the long ones. The seeds are fixed: what fails, fails again.

#[path = "../fuzz/configuration.rs"]
mod configuration;
#[path = "../fuzz/label.rs"]
mod label;
#[path = "../fuzz/packet.rs"]
mod packet;
#[path = "../fuzz/query.rs"]
mod query;
#[path = "../fuzz/text.rs"]
mod text;
#[path = "../fuzz/zone.rs"]
mod zone;

const SEED: u64 = 20_261_123;

#[test]
fn mutated_packets_are_answered_alike_both_ways() {
    let tally = packet::Fuzz::new(SEED).unwrap().run(30_000).unwrap_or_else(|why| panic!("{why}"));
    // All ways are gone: the run would prove nothing otherwise.
    let unanswered = tally.packets - tally.fast - tally.general;
    assert!(tally.fast > 1000 && tally.general > 1000 && unanswered > 100, "{tally:?}");
}

/// A run in which at least a twentieth is taken and as much refused: otherwise it would prove nothing.
fn run(target: &str, inputs: u64) {
    let tally = text::Fuzz::new(target, SEED).unwrap().run(inputs).unwrap_or_else(|why| panic!("{why}"));
    let refused = tally.inputs - tally.taken;
    assert!(tally.taken > inputs / 20 && refused > inputs / 20, "{target}: {tally:?}");
}

#[test]
fn mutated_query_strings_are_answered_or_refused_and_then_change_nothing() {
    run("query", 15_000);
}

#[test]
fn mutated_configurations_are_taken_again_as_they_are_shown_or_refused_with_a_place() {
    run("configuration", 600);
}

#[test]
fn mutated_zone_files_are_served_or_refused_with_a_place() {
    run("zone", 4_000);
}

#[test]
fn mutated_labels_are_tokens_only_if_they_were_signed() {
    run("label", 50_000);
}
