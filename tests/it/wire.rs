//! A short run of the packet fuzzer; `tests/fuzz/fuzz.rs` is the long one.

#[path = "../fuzz/packet.rs"]
mod packet;

#[test]
fn mutated_packets_are_answered_alike_both_ways() {
    let tally = packet::Fuzz::new(20_261_123).unwrap().run(30_000).unwrap_or_else(|why| panic!("{why}"));
    // All ways are gone: the run would prove nothing otherwise.
    let unanswered = tally.packets - tally.fast - tally.general;
    assert!(tally.fast > 1000 && tally.general > 1000 && unanswered > 100, "{tally:?}");
}
