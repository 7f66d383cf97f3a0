//! How long to wait before the next attempt: twice as long after each failure, up to half a second, and never all at once.
//!
//! The longest wait is short on purpose. Two Athenas that were cut off agree again within 2 s of healing (`http.md`), an
//! attempt that falls into the healing may fail once more, and a few attempts a second cost nobody anything.

use std::time::Duration;

use crate::balance::random::Random;

/// The first wait, before it is jittered.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait.
pub const LONGEST: Duration = Duration::from_millis(500);

/// Waits that grow with each failure in a row.
#[derive(Debug, Default, Clone, Copy)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait: between half of the step and all of it, so that many who failed together do not return together.
    pub fn next(&mut self, random: &mut dyn Random) -> Duration {
        let step = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        step.mul_f64(0.5 + random.unit() / 2.0)
    }

    /// It went well: the next failure is the first again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::random::SplitMix;

    #[test]
    fn waits_double_up_to_half_a_second_and_differ() {
        let (mut backoff, mut random) = (Backoff::default(), SplitMix::new(7));
        for step in [50, 100, 200, 400, 500, 500, 500, 500] {
            let wait = backoff.next(&mut random);
            assert!((step / 2..=step).contains(&(wait.as_millis() as u64)), "{wait:?} of {step} ms");
        }
        let waits: Vec<_> = (0..100).map(|_| backoff.next(&mut random)).collect();
        assert!(waits.windows(2).all(|pair| pair[0] != pair[1] && pair[0] <= LONGEST));
        backoff.reset();
        assert!(backoff.next(&mut random) <= FIRST);
        let mut many = Backoff { failures: u32::MAX };
        assert!(many.next(&mut random) <= LONGEST);
    }
}
