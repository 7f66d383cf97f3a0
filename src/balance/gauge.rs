//! The few numbers that choices read and reports write while both go on: atomics, so that a query takes no lock.
//!
//! A report changes a [`Gauge`] in place; the list of candidates around it is rebuilt only when somebody comes or
//! goes or a weight changes. That is what makes a report cheap in a farm of ten thousand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that may be read and changed by anybody at any time.
#[derive(Debug)]
pub struct AtomicF64(AtomicU64);

impl AtomicF64 {
    /// Holds `value`.
    pub fn new(value: f64) -> Self {
        Self(AtomicU64::new(value.to_bits()))
    }

    /// The number as it is now.
    #[inline]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    /// Replaces the number.
    #[inline]
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    /// Adds to the number; of additions at the same time none is lost.
    #[inline]
    pub fn add(&self, part: f64) {
        let mut bits = self.0.load(Relaxed);
        loop {
            let sum = (f64::from_bits(bits) + part).to_bits();
            match self.0.compare_exchange_weak(bits, sum, Relaxed, Relaxed) {
                Ok(_) => break,
                Err(other) => bits = other,
            }
        }
    }
}

/// How often one backend was given out, over all its farms. Every choice writes one; a cache line for each would cost a
/// large configuration more memory than the sharing of lines costs time.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// Counts one answer.
    #[inline]
    pub fn count(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Goes on from what a process before this one counted.
    pub fn count_on(&self, answers: u64) {
        self.0.fetch_add(answers, Relaxed);
    }

    /// Answers so far.
    #[inline]
    pub fn answers(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What a rule that sees loads reads of one member.
#[derive(Debug)]
pub struct Gauge {
    /// The formula's result: finite, NaN if unknown, infinite if the formula gave nothing finite.
    load: AtomicF64,
    /// The backend's tally when this load was reported.
    baseline: AtomicU64,
    tally: Arc<Tally>,
    pool: Arc<Pool>,
}

impl Gauge {
    /// A member of which no load is known.
    pub fn new(tally: Arc<Tally>, pool: Arc<Pool>) -> Self {
        let baseline = AtomicU64::new(tally.answers());
        Self { load: AtomicF64::new(f64::NAN), baseline, tally, pool }
    }

    /// The load that counts: the reported one, else the farm's average, or its highest where the formula failed.
    #[inline]
    pub fn load(&self) -> f64 {
        let load = self.load.get();
        if load.is_finite() {
            load
        } else if load.is_nan() {
            self.pool.average.get()
        } else {
            self.pool.highest.get()
        }
    }

    /// The finite load that was reported, if one was.
    pub fn reported(&self) -> Option<f64> {
        Some(self.load.get()).filter(|load| load.is_finite())
    }

    /// Whether no load is known at all.
    pub fn is_unknown(&self) -> bool {
        self.load.get().is_nan()
    }

    /// Answers that gave this backend so far, over all farms.
    #[inline]
    pub fn answers(&self) -> u64 {
        self.tally.answers()
    }

    /// Answers handed out since the load was reported.
    #[inline]
    pub fn handed_out(&self) -> u64 {
        self.tally.answers().saturating_sub(self.baseline.load(Relaxed))
    }

    /// Takes a report's load (see the field) and starts to count answers anew.
    pub fn report(&self, load: f64) {
        self.load.set(load);
        self.forgive();
    }

    /// Goes on from `handed_out` answers since the report.
    pub fn count_on(&self, handed_out: u64) {
        self.baseline.store(self.tally.answers().saturating_sub(handed_out), Relaxed);
    }

    /// Starts to count answers anew.
    pub fn forgive(&self) {
        self.baseline.store(self.tally.answers(), Relaxed);
    }
}

/// What the members of one farm have in common.
#[derive(Debug)]
pub struct Pool {
    /// Average of the loads known; 0 while fewer than two are, for one alone says nothing of the others.
    pub average: AtomicF64,
    /// Highest of the loads known; 0 if none is.
    pub highest: AtomicF64,
}

impl Default for Pool {
    fn default() -> Self {
        Self { average: AtomicF64::new(0.0), highest: AtomicF64::new(0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_load_is_the_average_and_a_failed_one_the_highest() {
        let pool = Arc::new(Pool::default());
        pool.average.set(3.0);
        pool.highest.set(7.0);
        let gauge = Gauge::new(Arc::new(Tally::default()), pool);
        assert_eq!((gauge.load(), gauge.reported()), (3.0, None));
        gauge.report(f64::INFINITY);
        assert_eq!((gauge.load(), gauge.reported()), (7.0, None));
        gauge.report(0.5);
        assert_eq!((gauge.load(), gauge.reported()), (0.5, Some(0.5)));
    }

    #[test]
    fn answers_count_from_the_report_on() {
        let tally = Arc::new(Tally::default());
        let gauge = Gauge::new(Arc::clone(&tally), Arc::default());
        tally.count();
        tally.count();
        assert_eq!(gauge.handed_out(), 2);
        gauge.report(1.0);
        tally.count();
        assert_eq!((gauge.handed_out(), tally.answers()), (1, 3));
    }
}
