//! One member's virtual queue: what choices read and move, between two reports.
//!
//! The load q that we believe in falls as the member works: at its capacity µ while q is above the knee c, more and
//! more slowly below. In the coordinate x = q − c (above) or x = 4c·(1 − (c/q)^¼) (below) this is x' = −µ: a straight
//! line in time, so the state between reports is one number. Below the knee q falls as q' = −µ·(q/c)^(5/4), nearly
//! exponentially; it never reaches 0, so idle members stay ordered by how long they have been idle. (The exponential
//! itself would do as well; this one needs no transcendental function to be read.)
//!
//! Everything is an atomic on its own. A choice that reads while a report writes may see the numbers of two moments
//! mixed; it then errs for this one answer by what happened in between. No answer is lost by that: it is either in x,
//! or among those that `seen` is behind the tally.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::super::super::gauge::{AtomicF64, Gauge};
use super::super::super::moment::Moment;

/// What a farm believes in.
#[derive(Debug)]
pub struct Drive {
    /// c, in the farm's unit of load.
    pub knee: AtomicF64,
    /// g, the load of one answer, in the farm's unit of load.
    pub gain: AtomicF64,
    /// The unit, in that of the formula.
    pub unit: AtomicF64,
    /// The load of an idle member, in the formula's unit.
    pub idle: AtomicF64,
}

impl Default for Drive {
    fn default() -> Self {
        let one = || AtomicF64::new(1.0);
        Self { knee: one(), gain: one(), unit: one(), idle: AtomicF64::new(0.0) }
    }
}

/// See the module's head. Loads are in the farm's unit, time is in seconds.
#[derive(Debug)]
#[repr(align(64))]
pub struct VirtualQueue {
    /// x at the moment `base`, with all answers since.
    x: AtomicF64,
    /// Nanoseconds since the epoch.
    base: AtomicU64,
    /// µ: what x loses in a second.
    rate: AtomicF64,
    /// What q + g is multiplied by to be compared.
    factor: AtomicF64,
    /// The backend's tally up to which answers are in x.
    seen: AtomicU64,
}

/// x of a load.
pub fn x_of(load: f64, knee: f64) -> f64 {
    if load >= knee {
        load - knee
    } else {
        4.0 * knee * (1.0 - (knee / load.max(knee * LEAST)).sqrt().sqrt())
    }
}

/// Loads below this part of the knee are told apart no more.
const LEAST: f64 = 1e-12;

/// The load of an x.
#[inline]
pub fn load_of(x: f64, knee: f64) -> f64 {
    if x >= 0.0 {
        knee + x
    } else {
        let root = 4.0 * knee / (4.0 * knee - x);
        let square = root * root;
        knee * square * square
    }
}

impl VirtualQueue {
    /// A queue that stands still, until it is set.
    pub fn new() -> Self {
        Self {
            x: AtomicF64::new(0.0),
            base: AtomicU64::new(0),
            rate: AtomicF64::new(0.0),
            factor: AtomicF64::new(1.0),
            seen: AtomicU64::new(0),
        }
    }

    /// µ; 0 while it is not known.
    pub fn capacity(&self) -> f64 {
        self.rate.get()
    }

    /// Sets everything, at a report or when the farm's beliefs change. `answers`: the tally that `load` includes.
    pub fn set(&self, load: f64, knee: f64, rate: f64, factor: f64, answers: u64, now: Moment) {
        self.base.store(now.nanos(), Relaxed);
        self.rate.set(rate);
        self.factor.set(factor);
        self.x.set(x_of(load, knee));
        self.seen.store(answers, Relaxed);
    }

    #[inline]
    fn x(&self, now: Moment) -> f64 {
        // A clock that jumps back stands still here.
        let span = now.nanos().saturating_sub(self.base.load(Relaxed)) as f64 * 1e-9;
        self.x.get() - self.rate.get() * span
    }

    /// The load believed in at `now`.
    #[inline]
    pub fn load(&self, now: Moment, knee: f64) -> f64 {
        load_of(self.x(now), knee)
    }

    /// The tally up to which answers are in the load.
    pub fn seen(&self) -> u64 {
        self.seen.load(Relaxed)
    }

    /// What is compared: the load with one more answer, weighted. Answers that others gave this backend (another
    /// farm, a sticky token) are taken in first.
    #[inline]
    pub fn measure(&self, now: Moment, knee: f64, gain: f64, gauge: &Gauge) -> f64 {
        let seen = self.seen.load(Relaxed);
        // Behind by wrapping: another thread has taken its answer in and is about to count it.
        let missed = gauge.answers().wrapping_sub(seen) as i64;
        if missed > 0 {
            self.take_missed(seen, missed as u64, now, knee, gain);
        }
        (self.load(now, knee) + gain) * self.factor.get()
    }

    #[cold]
    fn take_missed(&self, seen: u64, missed: u64, now: Moment, knee: f64, gain: f64) {
        if self.seen.compare_exchange(seen, seen + missed, Relaxed, Relaxed).is_ok() {
            self.add(missed as f64 * gain, now, knee);
        }
    }

    /// Takes one answer in, which the caller counts in the tally.
    #[inline]
    pub fn answer(&self, now: Moment, knee: f64, gain: f64) {
        self.seen.fetch_add(1, Relaxed);
        self.add(gain, now, knee);
    }

    #[inline]
    fn add(&self, load: f64, now: Moment, knee: f64) {
        let before = self.x(now);
        let after = x_of(load_of(before, knee) + load, knee);
        self.x.add(after - before);
    }
}

/// A candidate with its queue.
#[derive(Debug)]
pub struct Contender {
    pub id: super::MemberId,
    pub weight: f64,
    pub gauge: Arc<Gauge>,
    pub queue: Arc<VirtualQueue>,
}
