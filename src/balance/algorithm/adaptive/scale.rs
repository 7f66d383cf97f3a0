//! What loads are measured in: where "idle" lies and how large a usual load is.
//!
//! Loads may be queues, percents or megabytes, with any offset. Hypotheses about knees and gains are tried on a grid in
//! units of the farm's usual load above idle, so the grid must follow it. Both numbers are robust: one member that
//! tells nonsense moves neither far.

/// The unit of load of a farm.
#[derive(Debug, Clone)]
pub struct Scale {
    /// Loads are measured from here.
    idle: f64,
    /// A power of four near the usual load above idle.
    exponent: i32,
    /// Median of the loads above idle, tracked in steps of a few per cent.
    usual: f64,
    /// Loads seen, up to a number from which steps are small.
    seen: u32,
}

/// Loads above idle are cut off at so many units.
pub const MOST: f64 = 1e9;
/// Exponents of the unit.
const EXPONENTS: std::ops::RangeInclusive<i32> = -512..=512;
/// A load above idle that is smaller than this part of the usual load counts as idle.
const IDLE_PART: f64 = 1e-3;

/// So few loads are forgotten when the idle load moves.
const EARLY: u32 = 8;

impl Default for Scale {
    fn default() -> Self {
        Self { idle: 0.0, exponent: 0, usual: 1.0, seen: 0 }
    }
}

impl Scale {
    /// The unit.
    pub fn unit(&self) -> f64 {
        2f64.powi(self.exponent)
    }

    /// The load at which members are idle.
    pub fn idle(&self) -> f64 {
        self.idle
    }

    /// A reported load in units above idle: finite, 0 to [`MOST`].
    pub fn normal(&self, load: f64) -> f64 {
        ((load - self.idle) / self.unit()).clamp(0.0, MOST)
    }

    /// The usual load, in units.
    pub fn usual(&self) -> f64 {
        self.usual / self.unit()
    }

    /// Takes a reported load; gives by how many powers of two the unit grew, if it has to move.
    pub fn see(&mut self, load: f64) -> Option<i32> {
        let above = load - self.idle;
        let spread = self.usual * IDLE_PART;
        if !above.is_finite() || above <= spread {
            return None;
        }
        self.seen = (self.seen + 1).min(64);
        if self.seen == 1 {
            self.usual = above;
        } else {
            // The median in the logarithm: up and down by the same step.
            let step = 1.0 + (2.0 / f64::from(self.seen)).min(0.5);
            self.usual = if above > self.usual { self.usual * step } else { self.usual / step };
        }
        self.usual = self.usual.clamp(1e-150, 1e150);
        let exponent = self.usual.log2();
        let apart = exponent - f64::from(self.exponent);
        // Moves late, so that it does not move to and fro.
        if (-1.5..1.5).contains(&apart) {
            return None;
        }
        // A power of four: the grid of knees stands in such steps.
        let to = (2 * (exponent * 0.5).round() as i32).clamp(*EXPONENTS.start(), *EXPONENTS.end());
        let moved = to - std::mem::replace(&mut self.exponent, to);
        (moved != 0).then_some(moved)
    }

    /// Moves the idle load, if the difference is worth it; gives by how many units loads above it grow.
    pub fn settle_idle(&mut self, idle: f64) -> Option<f64> {
        let growth = (self.idle - idle) / self.unit();
        if !growth.is_finite() || growth.abs() < 1e-2 {
            return None;
        }
        self.idle = idle;
        // What was usual so far was measured from elsewhere.
        if self.seen < EARLY {
            self.seen = 0;
        }
        Some(growth)
    }
}

/// The least load that one member told lately, over a time that holds some hundred reports and some thousand arrivals:
/// a busy member may be without work only once in a long while.
#[derive(Debug, Clone)]
pub struct Least {
    before: f64,
    now: f64,
    reports: u32,
    arrivals: f64,
}

impl Default for Least {
    fn default() -> Self {
        Self::NONE
    }
}

impl Least {
    /// Nothing was told.
    pub const NONE: Self = Self { before: f64::INFINITY, now: f64::INFINITY, reports: 0, arrivals: 0.0 };
    const REPORTS: u32 = 128;
    const ARRIVALS: f64 = 4096.0;
    /// After so many reports the arrivals don't matter.
    const MOST_REPORTS: u32 = 65_536;

    /// Takes a load, and the arrivals since the last one.
    pub fn see(&mut self, load: f64, arrivals: f64) {
        self.now = self.now.min(load);
        self.reports += 1;
        self.arrivals += arrivals;
        let enough = self.reports >= Self::REPORTS && self.arrivals >= Self::ARRIVALS;
        if enough || self.reports >= Self::MOST_REPORTS {
            *self = Self { before: self.now, ..Self::default() };
        }
    }

    /// The least; infinite if nothing was told.
    pub fn get(&self) -> f64 {
        self.before.min(self.now)
    }
}

/// The farm's idle load from the least loads of its members: that of the lower quartile, so that a few members that
/// tell too little do not count. `least` is put in disorder.
pub fn idle_of(least: &mut [f64]) -> Option<f64> {
    if least.is_empty() {
        return None;
    }
    let place = (least.len() - 1) / 4;
    let (_, idle, _) = least.select_nth_unstable_by(place, f64::total_cmp);
    Some(*idle).filter(|idle| idle.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_follows_the_loads() {
        let mut scale = Scale::default();
        for load in [300.0, 500.0, 400.0, 450.0].repeat(50) {
            scale.see(load);
        }
        assert!((128.0..=1024.0).contains(&scale.unit()), "{}", scale.unit());
        // One in four tells nonsense; the unit stays.
        let unit = scale.unit();
        for load in [400.0, 450.0, 350.0, 1e300].repeat(200) {
            scale.see(load);
        }
        assert!((unit / 4.0..=unit * 4.0).contains(&scale.unit()), "{}", scale.unit());
        assert_eq!(scale.normal(f64::MAX), MOST);
        assert_eq!(scale.normal(-f64::MAX), 0.0);
    }

    #[test]
    fn idle_is_the_least_load_but_for_a_few() {
        let mut least = Least::default();
        (0..300).for_each(|turn| least.see(if turn == 0 { 1.0 } else { 3.0 }, 100.0));
        assert_eq!(least.get(), 3.0, "what was said long ago counts no more");
        assert_eq!(idle_of(&mut [3.0, 3.0, 3.1, 9.0, -1e9, 3.0]), Some(3.0));
        assert_eq!(idle_of(&mut [f64::INFINITY]), None);
        assert_eq!(idle_of(&mut []), None);
    }
}
