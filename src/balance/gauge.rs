//! The few numbers that choices read and reports write while both go on: atomics, so that a query takes no lock.
//!
//! A report changes a [`Gauge`] in place; the list of candidates around it is rebuilt only when somebody comes or
//! goes or a weight changes. That is what makes a report cheap in a farm of ten thousand. The numbers of a farm's members
//! lie side by side ([`slot`](super::slot)).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::algorithm::MemberId;
use super::slot::{Chunk, Mint, Slot};

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

/// How often one backend was given out, over all its farms; a clone is the same count. Every choice writes one; a cache
/// line for each would cost a large configuration more memory than the sharing of lines costs time.
#[derive(Debug, Clone, Default)]
pub struct Tally(Slot<AtomicU64>);

impl AsRef<Self> for Tally {
    fn as_ref(&self) -> &Self {
        self
    }
}

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

/// What reports move.
#[derive(Debug)]
struct Numbers {
    /// The formula's result: finite, NaN if unknown, infinite if the formula gave nothing finite.
    load: AtomicF64,
    /// The backend's tally when this load was reported.
    baseline: AtomicU64,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { load: AtomicF64::new(f64::NAN), baseline: AtomicU64::new(0) }
    }
}

impl Numbers {
    /// See [`Gauge::load`].
    #[inline]
    fn load(&self, pool: &Pool) -> f64 {
        let load = self.load.get();
        if load.is_finite() { load } else { pool.instead_of(load) }
    }
}

/// What a rule that sees loads reads of one member.
#[derive(Debug)]
pub struct Gauge {
    numbers: Slot<Numbers>,
    tally: Tally,
    pool: Arc<Pool>,
}

/// Makes tallies and gauges whose numbers lie side by side, in the order in which they are made.
#[derive(Debug, Default)]
pub struct Gauges {
    tallies: Mint<AtomicU64>,
    numbers: Mint<Numbers>,
}

impl Gauges {
    /// A tally beside the one before.
    pub fn tally(&mut self) -> Tally {
        Tally(self.tallies.slot())
    }

    /// A gauge of a member of which no load is known, beside the one before.
    pub fn gauge(&mut self, tally: &Tally, pool: &Arc<Pool>) -> Gauge {
        let numbers = self.numbers.slot();
        numbers.baseline.store(tally.answers(), Relaxed);
        Gauge { numbers, tally: tally.clone(), pool: Arc::clone(pool) }
    }
}

impl Gauge {
    /// A member of which no load is known, apart from all others.
    pub fn new(tally: impl AsRef<Tally>, pool: Arc<Pool>) -> Self {
        Gauges::default().gauge(tally.as_ref(), &pool)
    }

    /// The load that counts: the reported one, else the farm's average, or its highest where the formula failed.
    #[inline]
    pub fn load(&self) -> f64 {
        self.numbers.load(&self.pool)
    }

    /// The finite load that was reported, if one was.
    pub fn reported(&self) -> Option<f64> {
        Some(self.numbers.load.get()).filter(|load| load.is_finite())
    }

    /// Whether no load is known at all.
    pub fn is_unknown(&self) -> bool {
        self.numbers.load.get().is_nan()
    }

    /// What it has in common with the gauges of its farm's other members.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Answers that gave this backend so far, over all farms.
    #[inline]
    pub fn answers(&self) -> u64 {
        self.tally.answers()
    }

    /// Answers handed out since the load was reported.
    #[inline]
    pub fn handed_out(&self) -> u64 {
        self.tally.answers().saturating_sub(self.numbers.baseline.load(Relaxed))
    }

    /// Takes a report's load (see the field) and starts to count answers anew.
    pub fn report(&self, load: f64) {
        self.numbers.load.set(load);
        self.forgive();
    }

    /// Goes on from `handed_out` answers since the report.
    pub fn count_on(&self, handed_out: u64) {
        self.numbers.baseline.store(self.tally.answers().saturating_sub(handed_out), Relaxed);
    }

    /// Starts to count answers anew.
    pub fn forgive(&self) {
        self.numbers.baseline.store(self.tally.answers(), Relaxed);
    }
}

/// The numbers of a member's [`Gauge`] and who that is, for rules that compare many: half a line of the cache with the
/// weight that they keep beside it, and not two pointers away.
#[derive(Debug)]
pub struct Meter {
    numbers: Arc<Chunk<Numbers>>,
    tallies: Arc<Chunk<AtomicU64>>,
    places: [u8; 2],
    /// Whose numbers they are.
    pub id: MemberId,
}

impl Meter {
    /// That of a member.
    pub fn new(gauge: &Gauge, id: MemberId) -> Self {
        let ((numbers, one), (tallies, other)) = (gauge.numbers.parts(), gauge.tally.0.parts());
        Self { numbers: Arc::clone(numbers), tallies: Arc::clone(tallies), places: [one, other], id }
    }

    /// See [`Gauge::load`]; `pool` is [that](Gauge::pool) of the farm.
    #[inline]
    pub fn load(&self, pool: &Pool) -> f64 {
        self.numbers.at(self.places[0]).load(pool)
    }

    /// See [`Gauge::handed_out`].
    #[inline]
    pub fn handed_out(&self) -> u64 {
        let answers = self.tallies.at(self.places[1]).load(Relaxed);
        answers.saturating_sub(self.numbers.at(self.places[0]).baseline.load(Relaxed))
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

impl Pool {
    /// What counts instead of a load that is not finite.
    fn instead_of(&self, load: f64) -> f64 {
        if load.is_nan() { self.average.get() } else { self.highest.get() }
    }
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
        let gauge = Gauge::new(Tally::default(), pool);
        assert_eq!((gauge.load(), gauge.reported()), (3.0, None));
        gauge.report(f64::INFINITY);
        assert_eq!((gauge.load(), gauge.reported()), (7.0, None));
        gauge.report(0.5);
        assert_eq!((gauge.load(), gauge.reported()), (0.5, Some(0.5)));
    }

    #[test]
    fn answers_count_from_the_report_on() {
        let tally = Tally::default();
        let gauge = Gauge::new(&tally, Arc::default());
        tally.count();
        tally.count();
        assert_eq!(gauge.handed_out(), 2);
        gauge.report(1.0);
        tally.count();
        assert_eq!((gauge.handed_out(), tally.answers()), (1, 3));
    }

    #[test]
    fn a_meter_says_what_its_gauge_says() {
        let (mut gauges, pool) = (Gauges::default(), Arc::new(Pool::default()));
        pool.average.set(3.0);
        pool.highest.set(7.0);
        let made: Vec<(Tally, Gauge)> = (0..200)
            .map(|_| {
                let tally = gauges.tally();
                let gauge = gauges.gauge(&tally, &pool);
                (tally, gauge)
            })
            .collect();
        let loads = [1.5, f64::INFINITY, f64::NAN];
        for (number, (tally, gauge)) in made.iter().enumerate() {
            gauge.report(number as f64 + loads[number % 3]);
            (0..number).for_each(|_| tally.count());
        }
        for (number, (_, gauge)) in made.iter().enumerate() {
            let meter = Meter::new(gauge, MemberId(number as u32));
            assert_eq!((meter.load(&pool), meter.handed_out()), (gauge.load(), number as u64));
            assert_eq!((gauge.handed_out(), meter.id), (number as u64, MemberId(number as u32)));
        }
    }
}
