//! How much of what a report tells lasts until the next one.
//!
//! A report is exact when it comes, and is used until the next one comes. Where reports are much rarer than loads change,
//! what was told is soon about chance, and choices that follow it only upset turns that were even. So least squares fit load
//! after = part · load before + gain · arrivals + rest to what was between reports, lately; the arrivals stand apart, for they
//! go where loads are small and would hide that loads last. What dies away exponentially, to `part` within an interval, is
//! there to (1 − part) / −ln(part) on the average of the interval: so far a report moves a virtual queue. As long as
//! [`WHOLE`] and more of it last it is followed as it is, for it is worth most at once.

/// Intervals over which means are taken.
const MEMORY: f64 = 2000.0;
/// Belief that all of a load lasts, in intervals.
const PRIOR: f64 = 16.0;
/// Where more of a load lasts than this part a report counts as it is. By simulation; 0.5 to 0.7 do, but the more the worse
/// where tails are heavy, and much lasts of little.
const WHOLE: f64 = 0.5;
/// The part of a load that is taken to last at least.
const LEAST: f64 = 0.01;
/// Loads are cut off here, in units, so that one member that tells nonsense does not count for all.
const MOST: f64 = 64.0;
/// What counts is worked out after so many intervals.
const EVERY: u32 = 32;

/// Means over intervals; loads are in units.
#[derive(Debug, Clone)]
pub struct Lasting {
    intervals: u32,
    before: f64,
    arrivals: f64,
    after: f64,
    before_before: f64,
    before_arrivals: f64,
    before_after: f64,
    arrivals_arrivals: f64,
    arrivals_after: f64,
    weight: f64,
}

impl Default for Lasting {
    fn default() -> Self {
        Self {
            intervals: 0,
            before: 0.0,
            arrivals: 0.0,
            after: 0.0,
            before_before: 0.0,
            before_arrivals: 0.0,
            before_after: 0.0,
            arrivals_arrivals: 0.0,
            arrivals_after: 0.0,
            weight: 1.0,
        }
    }
}

impl Lasting {
    /// The part of the difference between what is reported and what was believed that a report moves a virtual queue by: more
    /// than 0, at most 1.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// Takes an interval in: the load at its start, arrivals, the load at its end.
    pub fn take(&mut self, before: f64, arrivals: f64, after: f64) {
        let (before, after) = (before.min(MOST), after.min(MOST));
        self.intervals = self.intervals.saturating_add(1);
        let step = 1.0 / f64::from(self.intervals).min(MEMORY);
        let take = |mean: &mut f64, product: f64| *mean += (product - *mean) * step;
        take(&mut self.before, before);
        take(&mut self.arrivals, arrivals);
        take(&mut self.after, after);
        take(&mut self.before_before, before * before);
        take(&mut self.before_arrivals, before * arrivals);
        take(&mut self.before_after, before * after);
        take(&mut self.arrivals_arrivals, arrivals * arrivals);
        take(&mut self.arrivals_after, arrivals * after);
        if self.intervals.is_multiple_of(EVERY) {
            self.settle();
        }
    }

    /// Works out what counts.
    fn settle(&mut self) {
        let spread = self.before_before - self.before * self.before;
        let both = self.before_arrivals - self.before * self.arrivals;
        let arrivals = self.arrivals_arrivals - self.arrivals * self.arrivals;
        // What arrivals go by is no news.
        let known = if arrivals > 0.0 { both / arrivals } else { 0.0 };
        let alone = (spread - known * both).max(0.0);
        let lasts = self.before_after
            - self.before * self.after
            - known * (self.arrivals_after - self.arrivals * self.after);
        let prior = PRIOR / f64::from(self.intervals).min(MEMORY) * spread;
        let part = (lasts + prior) / (alone + prior);
        // Loads that are always the same say nothing of it.
        if part.is_finite() {
            let gone = (WHOLE / part.max(LEAST)).ln().max(0.0);
            self.weight = if gone > 1e-6 { (1.0 - (-gone).exp()) / gone } else { 1.0 };
        }
    }

    /// Measures loads in a unit that is 2^`powers` of the old one.
    pub fn rescale(&mut self, powers: i32) {
        let factor = 2f64.powi(-powers);
        for mean in [&mut self.before, &mut self.after, &mut self.before_arrivals, &mut self.arrivals_after] {
            *mean *= factor;
        }
        self.before_before *= factor * factor;
        self.before_after *= factor * factor;
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::super::random::{Random, SplitMix};
    use super::*;

    /// What counts where `part` of a load lasts, chance adds to it, and answers go where loads are small.
    fn weight_if(part: f64, lasting: &mut Lasting) -> f64 {
        let (mut random, mut load) = (SplitMix::new(3), 1.0);
        for _ in 0..4000 {
            let arrivals = 10.0 - 2.0 * load + 4.0 * random.unit();
            let after = part * load + 0.1 * arrivals + random.unit();
            lasting.take(load, arrivals, after);
            load = after;
        }
        lasting.weight()
    }

    #[test]
    fn a_report_counts_by_how_long_loads_last_whatever_answers_do_about_them() {
        let weights = [0.9, 0.7, 0.3, 0.1].map(|part| weight_if(part, &mut Lasting::default()));
        assert_eq!(weights[..2], [1.0; 2], "{weights:?}");
        assert!((0.72..0.87).contains(&weights[2]), "{weights:?}");
        assert!((0.44..0.60).contains(&weights[3]), "{weights:?}");
    }

    #[test]
    fn the_unit_makes_no_difference_nor_do_loads_that_never_change() {
        let mut lasting = Lasting::default();
        let before = weight_if(0.3, &mut lasting);
        lasting.rescale(4);
        lasting.settle();
        assert!((lasting.weight() - before).abs() < 1e-9);
        let mut same = Lasting::default();
        (0..1000).for_each(|_| same.take(2.0, 5.0, 2.0));
        assert_eq!(same.weight(), 1.0);
    }
}
