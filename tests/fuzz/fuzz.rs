//! The long run of what a test runs for a moment: `cargo run --release --example fuzz -- [PACKETS [SEED]]`.
//!
//! Prints the seed, so that a run can be repeated, and at the end the count, and resident memory before and after. Stops at
//! the first packet that is not answered as it should be, with the packet in hexadecimal, which then belongs into
//! `corpus/packets.txt`. A panic prints the seed and how far it got.

#[path = "packet.rs"]
mod packet;

use athena::balance::random::{Random, SplitMix};

/// Packets between two lines of progress.
const STEP: u64 = 1_000_000;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let packets: u64 = arguments.next().map_or(Ok(10 * STEP), |count| count.parse())?;
    let seed: u64 =
        arguments.next().map_or_else(|| Ok(SplitMix::from_system().next()), |seed| seed.parse())?;
    println!("{packets} packets, seed {seed}");
    let mut fuzz = packet::Fuzz::new(seed)?;
    fuzz.run(packets.min(STEP))?;
    let before = resident_kib();
    let mut done = packets.min(STEP);
    while done < packets {
        let tally = fuzz.run(STEP.min(packets - done))?;
        done = tally.packets;
        println!(
            "{done}: {} fast, {} general, {} unanswered",
            tally.fast,
            tally.general,
            done - tally.fast - tally.general
        );
    }
    let tally = fuzz.run(0)?;
    println!("{tally:?}, resident {before} KiB after the first step, {} KiB at the end", resident_kib());
    Ok(())
}
