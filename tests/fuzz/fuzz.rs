//! The long run of what a test runs for a moment: `cargo run --release --example fuzz -- [TARGET] [ROUNDS [SEED]]`.
//!
//! TARGET is `packet` (left out: that), `query`, `configuration`, `zone` or `label`. Prints the seed, so that a run can be
//! repeated, and at the end the count, and resident memory before and after. Stops at the first input that is not treated
//! as it should be, with the input (a packet in hexadecimal), which then belongs into the target's file in `corpus/`. A panic
//! prints the seed and how far it got.

mod configuration;
mod label;
mod packet;
mod query;
mod text;
mod zone;

use athena::balance::random::{Random, SplitMix};

/// Steps of a run: lines of progress.
const STEPS: u64 = 20;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Runs a target in steps: `run` does so many more rounds, and gives a line about all so far.
fn in_steps(rounds: u64, mut run: impl FnMut(u64) -> Result<String, String>) -> Result<(), String> {
    let step = (rounds / STEPS).max(1);
    let mut done = step.min(rounds);
    println!("{}", run(done)?);
    let before = resident_kib();
    while done < rounds {
        let more = step.min(rounds - done);
        done += more;
        println!("{}", run(more)?);
    }
    println!("resident {before} KiB after the first step, {} KiB at the end", resident_kib());
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_number = |text: &String| text.bytes().all(|octet| octet.is_ascii_digit());
    let target =
        if arguments.first().is_none_or(is_number) { "packet".to_owned() } else { arguments.remove(0) };
    let rounds: u64 = arguments.first().map_or(Ok(1_000_000), |count| count.parse())?;
    let seed: u64 =
        arguments.get(1).map_or_else(|| Ok(SplitMix::from_system().next()), |seed| seed.parse())?;
    println!("{target}: {rounds} rounds, seed {seed}");
    if target == "packet" {
        let mut fuzz = packet::Fuzz::new(seed)?;
        in_steps(rounds, |more| fuzz.run(more).map(|tally| format!("{tally:?}")))?;
    } else {
        let mut fuzz = text::Fuzz::new(&target, seed)?;
        in_steps(rounds, |more| fuzz.run(more).map(|tally| format!("{tally:?}")))?;
    }
    Ok(())
}
