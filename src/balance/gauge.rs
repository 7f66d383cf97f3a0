//! The few numbers that choices read and reports write while both go on: atomics, so that a query takes no lock.
//!
//! A report changes a [`Gauge`] in place; the list of candidates around it is rebuilt only when somebody comes or
//! goes or a weight changes. That is what makes a report cheap in a farm of ten thousand. The numbers of a farm's members
//! lie side by side ([`slot`](super::slot)).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::ahead::want_at;
use super::board::Board;
use super::slot::{CHUNK, Mint, Slot};

/// A number that may be read and changed by anybody at any time.
#[derive(Debug, Default)]
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

/// How often backends were given out, as many as a chunk has places.
#[derive(Debug)]
#[repr(align(64))]
pub struct Tallies([AtomicU64; CHUNK]);

impl Default for Tallies {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Tallies {
    /// Answers that gave the backend at this place so far.
    #[inline]
    pub fn answers(&self, place: usize) -> u64 {
        self.0[place % CHUNK].load(Relaxed)
    }

    /// Asks for the line on which a place is.
    #[inline]
    pub fn want(&self, place: usize) {
        want_at(&self.0, place % CHUNK);
    }

    /// Counts an answer that gives it.
    #[inline]
    pub fn count(&self, place: usize) {
        self.0[place % CHUNK].fetch_add(1, Relaxed);
    }
}

/// How often one backend was given out, over all its farms; a clone is the same count. Every choice writes one; a cache
/// line for each would cost a large configuration more memory than the sharing of lines costs time.
#[derive(Debug, Clone, Default)]
pub struct Tally(Slot<Tallies>);

impl AsRef<Self> for Tally {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Tally {
    /// Counts one answer.
    #[inline]
    pub fn count(&self) {
        self.count_on(1);
    }

    /// Goes on from what a process before this one counted.
    #[inline]
    pub fn count_on(&self, answers: u64) {
        self.0.chunk().0[self.0.place()].fetch_add(answers, Relaxed);
    }

    /// Answers so far.
    #[inline]
    pub fn answers(&self) -> u64 {
        self.0.chunk().answers(self.0.place())
    }

    /// Where it stands.
    pub fn slot(&self) -> &Slot<Tallies> {
        &self.0
    }
}

/// What a rule that sees loads reads of one member; a clone is the same numbers.
#[derive(Debug, Clone)]
pub struct Gauge {
    board: Slot<Board>,
    tally: Tally,
    pool: Arc<Pool>,
    is_shared: bool,
}

/// Makes tallies and gauges whose numbers lie side by side, in the order in which they are made.
#[derive(Debug, Default)]
pub struct Gauges {
    tallies: Mint<Tallies>,
    boards: Mint<Board>,
}

impl Gauges {
    /// Makes room for so many tallies and boards to come, as far as there is none.
    pub fn reserve(&mut self, tallies: usize, boards: usize) {
        self.tallies.reserve(tallies);
        self.boards.reserve(boards);
    }

    /// A tally beside the one before.
    pub fn tally(&mut self) -> Tally {
        Tally(self.tallies.slot())
    }

    /// The numbers of a member of which no load is known, beside those of the one before.
    pub fn board(&mut self, tally: &Tally) -> Slot<Board> {
        let board = self.boards.slot();
        board.count_on(0, tally.answers());
        board
    }

    /// A gauge of a member of which no load is known, beside the one before.
    pub fn gauge(&mut self, tally: &Tally, pool: &Arc<Pool>) -> Gauge {
        Gauge::of(&self.board(tally), tally, pool)
    }
}

impl Gauge {
    /// A member of which no load is known, apart from all others.
    pub fn new(tally: impl AsRef<Tally>, pool: Arc<Pool>) -> Self {
        Gauges::default().gauge(tally.as_ref(), &pool)
    }

    /// Of these numbers.
    pub fn of(board: &Slot<Board>, tally: &Tally, pool: &Arc<Pool>) -> Self {
        Self { board: board.clone(), tally: tally.clone(), pool: Arc::clone(pool), is_shared: true }
    }

    /// The same, of a backend that is in no other farm.
    pub fn alone(self) -> Self {
        Self { is_shared: false, ..self }
    }

    /// Whether other farms may give the backend too: then its tally grows without a word to this one.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// The load that counts: the reported one, else the farm's average, or its highest where the formula failed.
    pub fn load(&self) -> f64 {
        self.pool.load(self.board.exact())
    }

    /// The finite load that was reported, if one was.
    pub fn reported(&self) -> Option<f64> {
        self.board.reported()
    }

    /// What it has in common with the gauges of its farm's other members.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Where what choices compare stands.
    pub fn board(&self) -> &Slot<Board> {
        &self.board
    }

    /// The backend's tally.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Answers that gave this backend so far, over all farms.
    #[inline]
    pub fn answers(&self) -> u64 {
        self.tally.answers()
    }

    /// Answers handed out since the load was reported.
    pub fn handed_out(&self) -> u64 {
        self.board.chunk().handed_out(self.board.place(), self.tally.answers())
    }

    /// Takes a report's load (finite, NaN if unknown, infinite if the formula gave nothing finite) and starts to count
    /// answers anew.
    pub fn report(&self, load: f64) {
        self.board.report(load, self.tally.answers());
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
    /// The load that counts: a finite one, else the average if it is unknown (NaN), else the highest.
    #[inline]
    pub fn load(&self, load: f64) -> f64 {
        // Neither what is unknown nor what failed is less.
        if load < f64::INFINITY {
            load
        } else if load.is_nan() {
            self.average.get()
        } else {
            self.highest.get()
        }
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
}
