//! How fast a member says it is: requests served a second per utilisation, as ORCA's weights have it (gRPC A58).
//!
//! Where reports carry `q` (requests a second) and `u` (the busy part, 0 to 1), each tells the member's capacity at once:
//! that is worth much where loads say little of it, because reports are rare, members seldom busy, or speeds change. It
//! is a hypothesis among others, for what machines call busy may be anything: the bank believes it where it predicts loads.

/// Requests served and busy time over a window that forgets exponentially, in reports.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    served: f64,
    busy: f64,
}

/// Arrivals and reports that a window holds at least. Short: what is wanted is the speed of today.
const WINDOW: (f64, f64) = (64.0, 1.0);
/// Belief that a member is as fast as its weight says, in reports at full utilisation.
const PRIOR: f64 = 0.5;
/// More requests a second, or more utilisation, is nonsense.
const MOST: (f64, f64) = (1e12, 1e3);

impl Pace {
    /// Of who told nothing.
    pub const NONE: Self = Self { served: 0.0, busy: 0.0 };

    /// Takes `q`, `u` and `e` of a report: requests and errors a second and the busy part. Quick failures are no speed, so
    /// they don't count as served. Refuses what is not a rate and a busy part. `arrivals_a_report`: arrivals from report
    /// to report, averaged.
    pub fn take(&mut self, rate: f64, busy: f64, errors: f64, arrivals_a_report: f64) {
        let told = (0.0..=MOST.0).contains(&rate) && (0.0..=MOST.1).contains(&busy);
        if !told || (busy == 0.0 && rate > 0.0) {
            return;
        }
        let window = (WINDOW.0 / arrivals_a_report.max(1e-9)).clamp(WINDOW.1, LONGEST);
        let keep = 1.0 - 1.0 / window;
        self.served = self.served * keep + (rate - errors.max(0.0)).max(0.0);
        self.busy = self.busy * keep + busy;
    }

    /// Adds `other`, a member of `weight`, × `part`: what members of weight 1 do is pooled.
    pub fn add(&mut self, other: &Self, weight: f64, part: f64) {
        self.served += other.served * part;
        self.busy += other.busy * weight * part;
    }

    /// How fast it is, as a multiple of what `weight` says in a farm whose members all together have `pool`; 1 while that
    /// is not known.
    pub fn relative(&self, pool: &Self, weight: f64) -> f64 {
        let fair = weight * pool.served / pool.busy;
        if !(fair.is_finite() && fair > 1e-12) {
            return 1.0;
        }
        (self.served + PRIOR * fair) / ((self.busy + PRIOR) * fair)
    }
}

/// Most reports in a window.
const LONGEST: f64 = 16_384.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Two members of weights 1 and 2 that told this often enough, and what they are together.
    fn two(one: (f64, f64, f64), other: (f64, f64, f64)) -> [f64; 2] {
        let mut paces = [Pace::NONE; 2];
        for _ in 0..100 {
            paces[0].take(one.0, one.1, one.2, 1.0);
            paces[1].take(other.0, other.1, other.2, 1.0);
        }
        let mut pool = Pace::NONE;
        pool.add(&paces[0], 1.0, 1.0);
        pool.add(&paces[1], 2.0, 1.0);
        [paces[0].relative(&pool, 1.0), paces[1].relative(&pool, 2.0)]
    }

    #[test]
    fn speed_is_requests_a_second_per_utilisation_by_weight() {
        let [one, other] = two((50.0, 0.5, 0.0), (100.0, 0.5, 0.0));
        assert!((one - 1.0).abs() < 1e-9 && (other - 1.0).abs() < 1e-9, "as weights say: {one} {other}");
        let [one, other] = two((50.0, 0.5, 0.0), (100.0, 0.25, 0.0));
        assert!((1.9..2.1).contains(&(other / one)), "half as busy with the same: {one} {other}");
    }

    #[test]
    fn failures_are_no_speed() {
        let [one, other] = two((50.0, 0.5, 0.0), (200.0, 0.5, 100.0));
        assert!((one - 1.0).abs() < 1e-9 && (other - 1.0).abs() < 1e-9, "{one} {other}");
    }

    #[test]
    fn what_tells_nothing_leaves_everybody_as_his_weight_says() {
        assert_eq!(two((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)), [1.0; 2], "idle");
        assert_eq!(two((50.0, 0.0, 0.0), (f64::MAX, 0.5, 0.0)), [1.0; 2], "nonsense");
        assert_eq!(two((-1.0, 0.5, 0.0), (5.0, -0.5, 0.0)), [1.0; 2], "nonsense");
    }
}
