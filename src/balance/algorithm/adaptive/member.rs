//! What is learned of one member: its capacity, from what came and what is left.
//!
//! Work is conserved: what left a member between two reports is the load before, plus what answers brought, less the
//! load after. Divided by the time that the member was busy that is its capacity. How long it was busy follows from its
//! load and from the knee, so the sums are kept for every knee of the grid, and over windows of several lengths: the
//! long one is exact where nothing changes, the short one follows where capacities drift.

use std::ops::{Deref, DerefMut};

use super::super::super::gauge::Tally;
use super::super::super::late::{Blank, Late};
use super::super::super::moment::Moment;
use super::bank::{KNEES, moved};
use super::delay::DELAYS;
use super::pace::Pace;
use super::scale::Least;
use super::smooth::Readings;

/// Windows: arrivals and reports that each holds at least, the shortest first.
pub const WINDOWS: [(f64, f64); 3] = [(64.0, 6.0), (256.0, 24.0), (1024.0, 96.0)];
/// Most reports in a window.
const LONGEST: f64 = 16_384.0;
/// A member is taken to be busy for at least this part of the time, so that capacities stay finite.
const LEAST_BUSY: f64 = 0.01;

/// Sums over a window that forgets exponentially. Loads are in units.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sums {
    /// Load before less load after.
    pub drop: f64,
    /// Arrivals, for every delay.
    pub arrivals: [f64; DELAYS.len()],
    /// Seconds.
    pub span: f64,
    /// Intervals.
    pub intervals: f64,
    /// Busy seconds, for every knee.
    pub busy: [f64; KNEES.len()],
}

impl Sums {
    const NONE: Self = Self {
        drop: 0.0,
        arrivals: [0.0; DELAYS.len()],
        span: 0.0,
        intervals: 0.0,
        busy: [0.0; KNEES.len()],
    };

    /// Adds `other` × `part`.
    pub fn add(&mut self, other: &Self, part: f64) {
        self.drop += other.drop * part;
        self.arrivals.iter_mut().zip(other.arrivals).for_each(|(sum, other)| *sum += other * part);
        self.span += other.span * part;
        self.intervals += other.intervals * part;
        self.busy.iter_mut().zip(other.busy).for_each(|(busy, other)| *busy += other * part);
    }

    /// What left, if an arrival brings `gain`.
    #[inline]
    pub fn departed(&self, gain: f64, delay: usize) -> f64 {
        self.drop + gain * self.arrivals[delay]
    }

    /// Measures loads in a unit that is 2^`powers` of the old one. The busy time for knees that are new to the grid is
    /// taken from the nearest one that was on it.
    pub fn rescale(&mut self, powers: i32) {
        self.drop *= 2f64.powi(-powers);
        let old = self.busy;
        for (place, busy) in self.busy.iter_mut().enumerate() {
            *busy = old[moved(place, KNEES.len(), powers / 2)];
        }
    }
}

/// From a report to a later one.
#[derive(Debug, Clone, Copy)]
pub struct Interval {
    /// Load at its start, in units.
    pub before: f64,
    /// Load at its end, in units.
    pub after: f64,
    /// Requests where they are counted, else answers: those that took effect, for every delay.
    pub arrivals: [f64; DELAYS.len()],
    /// Seconds, greater than 0.
    pub span: f64,
}

/// One member of the farm. What it reported and what was learned from that is read and changed as if it were part of this.
#[derive(Debug)]
pub struct Member {
    pub seed: u64,
    /// There if it ever was a candidate.
    pub tally: Option<Tally>,
    /// As configured or overridden.
    pub weight: f64,
    /// The part of its weight that slow start gives it, 0 to 1.
    pub part: f32,
    /// Whether it is no member any more.
    pub is_gone: bool,
    told: Late<Told>,
}

/// What a member reported, and what was learned from that. There is none of it as long as it did not report.
#[derive(Debug, Clone)]
pub struct Told {
    /// What its last report said.
    pub last: Option<Last>,
    pub least: Least,
    pub sums: [Sums; WINDOWS.len()],
    pub pace: Pace,
    /// Its capacity by its pace, as a multiple of what its weight says; 1 while that is not known.
    pub told_speed: f64,
    /// Where it is read what it was before its sender averaged it, if it does.
    pub readings: Option<Box<Readings>>,
    /// Arrivals from report to report, averaged.
    arrivals_a_report: f64,
    /// Intervals taken in so far.
    pub intervals: u32,
    /// Arrivals that are still to take effect, for every delay.
    pub pending: [f64; DELAYS.len()],
    /// What was seen since the other sums were added to: several reports are judged as one where they come thick, and
    /// only then believed.
    fresh: Sums,
    /// The load when that began.
    fresh_from: f64,
}

impl Blank for Told {
    fn blank() -> &'static Self {
        static BLANK: Told = Told {
            last: None,
            least: Least::NONE,
            sums: [Sums::NONE; WINDOWS.len()],
            pace: Pace::NONE,
            told_speed: 1.0,
            readings: None,
            arrivals_a_report: 0.0,
            intervals: 0,
            pending: [0.0; DELAYS.len()],
            fresh: Sums::NONE,
            fresh_from: 0.0,
        };
        &BLANK
    }
}

impl Deref for Member {
    type Target = Told;

    fn deref(&self) -> &Told {
        &self.told
    }
}

impl DerefMut for Member {
    fn deref_mut(&mut self) -> &mut Told {
        &mut self.told
    }
}

/// A member's last report.
#[derive(Debug, Clone, Copy)]
pub struct Last {
    /// Load, or where it is averaged its mean since the report before, in units above idle.
    pub load: f64,
    pub at: Moment,
    /// Arrivals from the moment that `load` is of to `at`, and seconds: 0, or where it is a mean half of those it is of.
    pub since: (f64, f64),
    /// The backend's tally.
    pub answers: u64,
    /// Its own count of requests.
    pub counter: Option<f64>,
}

impl Member {
    /// One of which nothing is known.
    pub fn new(seed: u64, weight: f64) -> Self {
        Self { seed, tally: None, weight, part: 1.0, is_gone: false, told: Late::default() }
    }

    /// Whether it never reported.
    pub fn is_silent(&self) -> bool {
        self.told.is_blank()
    }

    /// Lets `arrivals` come evenly over `span` seconds; gives how many take effect in that time, for every delay.
    pub fn take_effect(&mut self, arrivals: f64, span: f64) -> [f64; DELAYS.len()] {
        let mut effective = [arrivals; DELAYS.len()];
        for ((effective, pending), delay) in effective.iter_mut().zip(&mut self.pending).zip(DELAYS).skip(1) {
            let left = (-span / delay).exp();
            // Of those that come evenly this part is still to take effect at the end.
            let late = if span > 1e-3 * delay { (1.0 - left) * delay / span } else { 1.0 };
            let after = *pending * left + arrivals * late;
            *effective = *pending + arrivals - after;
            *pending = after;
        }
        effective
    }

    /// Sees an interval, which begins where the last one ended. Nothing is learned of it until [`take`](Self::take).
    pub fn see(&mut self, interval: &Interval) {
        let Interval { before, after, arrivals, span } = *interval;
        self.intervals = self.intervals.saturating_add(1);
        let step = 1.0 / f64::from(self.intervals.min(32));
        self.arrivals_a_report += (arrivals[0] - self.arrivals_a_report) * step;
        if self.fresh.intervals == 0.0 {
            self.fresh_from = before;
        }
        let mut seen =
            Sums { drop: before - after, arrivals, span, intervals: 1.0, busy: [0.0; KNEES.len()] };
        for (busy, knee) in seen.busy.iter_mut().zip(KNEES) {
            let part = 0.5 * ((before / knee).min(1.0) + (after / knee).min(1.0));
            *busy = span * part.max(LEAST_BUSY);
        }
        self.fresh.add(&seen, 1.0);
    }

    /// Whether something was seen and not yet taken.
    pub fn is_being_seen(&self) -> bool {
        self.fresh.intervals > 0.0
    }

    /// What was seen and not yet taken, as one interval, and how many it is made of.
    pub fn seen(&self) -> (Interval, f64) {
        let Sums { drop, arrivals, span, intervals, .. } = self.fresh;
        let (before, after) = (self.fresh_from, (self.fresh_from - drop).max(0.0));
        (Interval { before, after, arrivals, span }, intervals)
    }

    /// Takes what was seen into the sums, and what they change by into `pool`, the sums of the farm over `pooled`, one of
    /// the windows; busy seconds count there as often as the member's weight says.
    pub fn take(&mut self, pooled: usize, pool: &mut Sums) {
        if !self.is_being_seen() {
            return;
        }
        let (fresh, weight) = (std::mem::replace(&mut self.fresh, Sums::NONE), self.weight);
        for (place, (least_arrivals, least_reports)) in WINDOWS.into_iter().enumerate() {
            let window = (least_arrivals / self.arrivals_a_report.max(1e-9)).clamp(least_reports, LONGEST);
            let sums = &mut self.sums[place];
            if place == pooled {
                pool.add(&weighted(sums, weight), -1.0);
            }
            let kept = *sums;
            *sums = fresh;
            sums.add(&kept, (1.0 - 1.0 / window).powi(fresh.intervals as i32));
            if place == pooled {
                pool.add(&weighted(sums, weight), 1.0);
            }
        }
    }

    /// Arrivals from report to report, averaged.
    pub fn arrivals_a_report(&self) -> f64 {
        self.arrivals_a_report
    }

    /// Measures loads in a unit that is 2^`powers` of the old one.
    pub fn rescale(&mut self, powers: i32) {
        if self.is_silent() {
            return;
        }
        let factor = 2f64.powi(-powers);
        self.sums.iter_mut().for_each(|sums| sums.rescale(powers));
        self.fresh.rescale(powers);
        self.fresh_from *= factor;
        if let Some(last) = &mut self.last {
            last.load *= factor;
        }
    }
}

/// A member's sums as they count in the pool: busy seconds and seconds by weight, for capacity goes by weight there.
pub fn weighted(sums: &Sums, weight: f64) -> Sums {
    Sums { span: sums.span * weight, busy: sums.busy.map(|busy| busy * weight), ..*sums }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_one_interval_and_teaches_nothing_until_it_is_taken() {
        let (mut member, mut pool) = (Member::new(1, 2.0), Sums::default());
        let interval =
            |before: f64, after: f64| Interval { before, after, arrivals: [3.0; DELAYS.len()], span: 0.5 };
        [(4.0, 6.0), (6.0, 1.0)].iter().for_each(|&(before, after)| member.see(&interval(before, after)));
        assert_eq!((member.sums[0].span, pool.span, member.is_being_seen()), (0.0, 0.0, true));
        let (whole, count) = member.seen();
        assert_eq!(
            (count, whole.before, whole.after, whole.arrivals[0], whole.span),
            (2.0, 4.0, 1.0, 6.0, 1.0)
        );
        member.take(1, &mut pool);
        assert_eq!((member.sums[0].span, member.sums[2].drop, member.is_being_seen()), (1.0, 3.0, false));
        assert_eq!((pool.span, pool.departed(1.0, 0)), (2.0, 9.0), "seconds by weight");
        member.see(&interval(1.0, 2.0));
        member.rescale(2);
        assert_eq!((member.seen().0.before, member.seen().0.after), (0.25, 0.5));
    }
}
