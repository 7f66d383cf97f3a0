//! Up to which load members have free workers.
//!
//! As long as a worker is free a request takes as long as if it were alone. So among members of different speed the fast
//! ones are the better choice until they are full, whatever is in them; only beyond that crowding has a price. How much
//! they hold shows in how fast loads fall: in proportion to the load as long as workers are free, no faster beyond.
//!
//! So for each of a grid of limits least squares fit drop = capacity · time · min(1, load/limit) − gain · arrivals to what
//! was between reports, lately. The gain is fitted too, for arrivals go where loads are small: one that is a little wrong
//! would look like loads that fall faster the larger they are. The load must be foretold from the report before, for the one
//! after moved by the very departures that are to be explained. The mean of the limits, by how well each fits, counts if it fits
//! much better than loads that fall alike whatever they are ([`SURE`]): other Athenas' answers, which come when a load is
//! small and are not seen, look a little like it.
//!
//! Who cannot tell how many requests are in a member cannot count on its last free workers. So the limit to choose by
//! is less by the error of the virtual queues when a report comes: where reports are old nothing is left of it.

use super::super::super::late::Blank;

/// Limits, in units. The first one stands for loads that fall alike.
const LIMITS: [f64; 9] = [0.125, 0.5, 0.707, 1.0, 1.414, 2.0, 2.828, 4.0, 5.657];
/// Arrivals over which the fit is made.
const MEMORY: f64 = 4000.0;
/// The least part of what was seen that a report without arrivals makes forgotten.
const LEAST: f64 = 1e-5;
/// By so much the logarithm of the likelihood must be better than that of loads that fall alike.
const SURE: f64 = 40.0;
/// Intervals are not independent and their errors not Gaussian: so much of their number counts.
const CANDOUR: f64 = 0.5;
/// Reports over which errors of virtual queues are averaged.
const REPORTS: f64 = 500.0;
/// Largest such error that counts, in units.
const MOST_ERROR: f64 = 10.0;
/// The limit is worked out after so many reports.
const EVERY: u32 = 64;

/// What was seen between two reports of a member. Loads are in units.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// The load at the start.
    pub before: f64,
    /// The load that was to be expected halfway.
    pub halfway: f64,
    /// The load at the end.
    pub after: f64,
    /// The load that its virtual queue had at the end.
    pub believed: f64,
    /// Arrivals that took effect.
    pub arrivals: f64,
    /// The load of one arrival, about.
    pub gain: f64,
    /// Seconds, multiplied by how fast the member is compared to others.
    pub span: f64,
}

/// Sums of products for one limit, of drop, arrivals and time at full speed.
#[derive(Debug, Clone, Copy)]
struct Sums {
    full_full: f64,
    full_arrivals: f64,
    full_drop: f64,
}

/// See the module's head.
#[derive(Debug, Clone)]
pub struct Crowd {
    sums: [Sums; LIMITS.len()],
    arrivals_arrivals: f64,
    arrivals_drop: f64,
    drop_drop: f64,
    /// Intervals in the sums.
    intervals: f64,
    /// Mean square of what virtual queues were off by.
    error: f64,
    reports: u32,
    limit: f64,
}

impl Blank for Crowd {
    fn blank() -> &'static Self {
        static BLANK: Crowd = Crowd::NONE;
        &BLANK
    }
}

impl Crowd {
    /// Nothing was seen.
    const NONE: Self = Self {
        sums: [Sums { full_full: 0.0, full_arrivals: 0.0, full_drop: 0.0 }; LIMITS.len()],
        arrivals_arrivals: 0.0,
        arrivals_drop: 0.0,
        drop_drop: 0.0,
        intervals: 0.0,
        error: 0.0,
        reports: 0,
        limit: 0.0,
    };

    /// The load up to which workers can be counted on to be free, in units; 0 if nothing speaks for it.
    pub fn free(&self) -> f64 {
        (self.limit - self.error.sqrt()).max(0.0)
    }

    /// Takes an interval in; gives whether [`free`](Self::free) may have changed.
    pub fn take(&mut self, seen: &Seen) -> bool {
        let Seen { before, halfway, after, believed, arrivals, gain, span } = *seen;
        self.reports = self.reports.saturating_add(1);
        let error = (believed - after).abs().min(MOST_ERROR);
        self.error += (error * error - self.error) / f64::from(self.reports).min(REPORTS);
        // Where more comes and goes chance does more.
        let weight = 1.0 / (before + gain * (1.0 + arrivals));
        let keep = 1.0 - (arrivals / MEMORY).clamp(LEAST, 0.5);
        let drop = before - after;
        let add = |sum: &mut f64, product: f64| *sum = *sum * keep + weight * product;
        add(&mut self.arrivals_arrivals, arrivals * arrivals);
        add(&mut self.arrivals_drop, arrivals * drop);
        add(&mut self.drop_drop, drop * drop);
        self.intervals = self.intervals * keep + 1.0;
        for (sums, limit) in self.sums.iter_mut().zip(LIMITS) {
            let full = (halfway / limit).min(1.0) * span;
            add(&mut sums.full_full, full * full);
            add(&mut sums.full_arrivals, full * arrivals);
            add(&mut sums.full_drop, full * drop);
        }
        let due = self.reports.is_multiple_of(EVERY);
        if due {
            self.settle();
        }
        due
    }

    /// Works out the limit.
    fn settle(&mut self) {
        let left = self.sums.each_ref().map(|sums| self.unexplained(sums));
        let alike = left[0];
        let likely = left.map(|left| -0.5 * self.intervals * (left / alike).ln());
        let best = likely.iter().copied().fold(0.0, f64::max);
        if best <= SURE {
            self.limit = 0.0;
            return;
        }
        // A limit twice as high is a quarter as likely before anything is known: what is never reached cannot be told.
        let parts = likely.iter().zip(LIMITS).map(|(likely, limit)| {
            let part = (CANDOUR * (likely - best)).exp() / (limit * limit);
            (part * limit.ln(), part)
        });
        let (sum, all) = parts.fold((0.0, 0.0), |sums, part| (sums.0 + part.0, sums.1 + part.1));
        self.limit = (sum / all).exp();
    }

    /// The squares that the best capacity and gain leave under a limit: more than 0.
    fn unexplained(&self, sums: &Sums) -> f64 {
        let all = self.drop_drop;
        let determinant = sums.full_full * self.arrivals_arrivals - sums.full_arrivals * sums.full_arrivals;
        let left = if determinant > 0.0 {
            let capacity = sums.full_drop * self.arrivals_arrivals - self.arrivals_drop * sums.full_arrivals;
            let gain = self.arrivals_drop * sums.full_full - sums.full_drop * sums.full_arrivals;
            all - (capacity * sums.full_drop + gain * self.arrivals_drop) / determinant
        } else {
            all
        };
        left.max(1e-9 * all).max(f64::MIN_POSITIVE)
    }

    /// Measures loads in a unit that is 2^`powers` of the old one: the fit begins anew.
    pub fn rescale(&mut self, powers: i32) {
        *self = Self { error: self.error * 4f64.powi(-powers), reports: self.reports, ..Self::NONE };
    }
}
