//! One member's virtual queue: what choices read and move, between two reports.
//!
//! The load q that we believe in falls as the member works: at its capacity µ while q is above the knee c, more and
//! more slowly below. In the coordinate x = q − c (above) or x = 4c·(1 − (c/q)^¼) (below) this is x' = −µ: a straight
//! line in time, so the state between reports is one number. Below the knee q falls as q' = −µ·(q/c)^(5/4), nearly
//! exponentially; it never reaches 0, so idle members stay ordered by how long they have been idle. (The exponential
//! itself would do as well; this one needs no transcendental function to be read.)
//!
//! The queues of a farm stand in one row ([`Slab`]), two to a cache line, for a choice in a large farm is the time that its
//! sample takes to arrive from memory. What only the chosen one needs stands elsewhere.
//!
//! Everything is an atomic on its own and changed by plain stores. A choice that reads while a report writes may see the
//! numbers of two moments mixed; it then errs for this one answer by what happened in between. Of two answers to the
//! same member in the same nanoseconds one may be missing in x; then `seen` misses it too, is behind the tally, and the
//! next choice that would give this member takes it in.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::super::super::gauge::AtomicF64;
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
    /// Members that reported.
    pub known: AtomicU64,
}

impl Default for Drive {
    fn default() -> Self {
        let one = || AtomicF64::new(1.0);
        let (idle, known) = (AtomicF64::new(0.0), AtomicU64::new(0));
        Self { knee: one(), gain: one(), unit: one(), idle, known }
    }
}

/// See the module's head. Loads are in the farm's unit, time is in nanoseconds.
#[derive(Debug)]
#[repr(align(32))]
pub struct VirtualQueue {
    /// x at the moment `base`, with all answers since.
    x: AtomicF64,
    /// Nanoseconds since the epoch.
    base: AtomicU64,
    /// µ: what x loses in a nanosecond.
    fall: AtomicF64,
    /// What q + g is multiplied by to be compared.
    factor: AtomicF64,
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

/// The load of an x. Without a branch: whether a member is busy cannot be foretold.
#[inline]
pub fn load_of(x: f64, knee: f64) -> f64 {
    let below = if x < 0.0 { x } else { 0.0 };
    let root = 4.0 * knee / (4.0 * knee - below);
    let square = root * root;
    knee * square * square + (x - below)
}

impl VirtualQueue {
    /// A queue that stands still, until it is set.
    fn new() -> Self {
        Self {
            x: AtomicF64::new(0.0),
            base: AtomicU64::new(0),
            fall: AtomicF64::new(0.0),
            factor: AtomicF64::new(1.0),
        }
    }

    fn copy(&self) -> Self {
        Self {
            x: AtomicF64::new(self.x.get()),
            base: AtomicU64::new(self.base.load(Relaxed)),
            fall: AtomicF64::new(self.fall.get()),
            factor: AtomicF64::new(self.factor.get()),
        }
    }

    /// µ, a second; 0 while it is not known.
    pub fn capacity(&self) -> f64 {
        self.fall.get() * 1e9
    }

    #[inline]
    fn x(&self, now: Moment) -> f64 {
        // A clock that jumps back stands still here. Signed, for that is one instruction.
        let span = now.nanos().saturating_sub(self.base.load(Relaxed)) as i64 as f64;
        self.x.get() - self.fall.get() * span
    }

    /// The load believed in at `now`.
    #[inline]
    pub fn load(&self, now: Moment, knee: f64) -> f64 {
        load_of(self.x(now), knee)
    }

    /// What is compared, if it has `load` and gets one more answer.
    #[inline]
    pub fn measure_of(&self, load: f64, gain: f64) -> f64 {
        (load + gain) * self.factor.get()
    }

    /// Goes from where it is at `now` to `load`.
    #[inline]
    fn rise_to(&self, load: f64, now: Moment, knee: f64) {
        self.x.set(self.x.get() + (x_of(load, knee) - self.x(now)));
    }
}

/// The virtual queues of a farm, in the order of its learner's members.
#[derive(Debug, Default)]
pub struct Slab {
    queues: Box<[VirtualQueue]>,
    /// The backends' tallies up to which answers are in the queues.
    seen: Box<[AtomicU64]>,
}

impl Slab {
    /// Makes one anew: of each place, which one of `old` it was, if it was there.
    pub fn from_old(old: &Self, places: impl Iterator<Item = Option<usize>> + Clone) -> Self {
        let queue = |place: Option<usize>| {
            place.and_then(|place| old.queues.get(place)).map_or_else(VirtualQueue::new, VirtualQueue::copy)
        };
        let seen = |place: Option<usize>| {
            AtomicU64::new(place.and_then(|place| old.seen.get(place)).map_or(0, |seen| seen.load(Relaxed)))
        };
        Self { queues: places.clone().map(queue).collect(), seen: places.map(seen).collect() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.queues.len()
    }

    /// Reads all queues, to bring them into the cache: those of a farm that is looked at as a whole.
    pub fn fetch_queues(&self) -> u64 {
        self.queues.iter().fold(0, |sum, queue| sum ^ queue.x.get().to_bits())
    }

    /// The same with the tallies up to which answers are in them.
    pub fn fetch_seen(&self) -> u64 {
        self.seen.iter().fold(0, |sum, seen| sum ^ seen.load(Relaxed))
    }

    /// The queue at this place, if there is one.
    pub fn get(&self, place: usize) -> Option<&VirtualQueue> {
        self.queues.get(place)
    }

    /// The queue at this place, which must be one.
    #[inline]
    pub fn queue(&self, place: u32) -> &VirtualQueue {
        &self.queues[place as usize]
    }

    /// The tally up to which answers are in the load.
    pub fn seen(&self, place: usize) -> u64 {
        self.seen[place].load(Relaxed)
    }

    /// Sets everything, at a report or when the farm's beliefs change. `rate`: µ, a second; `answers`: the tally that
    /// `load` includes.
    pub fn set(&self, place: usize, rate: f64, factor: f64, load: (f64, f64), answers: u64, now: Moment) {
        let (queue, (load, knee)) = (&self.queues[place], load);
        queue.base.store(now.nanos(), Relaxed);
        queue.fall.set(rate * 1e-9);
        queue.factor.set(factor);
        queue.x.set(x_of(load, knee));
        self.seen[place].store(answers, Relaxed);
    }

    /// Answers that others gave this backend (another farm, a sticky token) and that are not in the load yet. Behind by
    /// wrapping: another thread has taken its answer in and is about to count it.
    #[inline]
    pub fn missed(&self, place: u32, tally: u64) -> Option<u64> {
        let missed = tally.wrapping_sub(self.seen[place as usize].load(Relaxed));
        (missed as i64 > 0).then_some(missed)
    }

    /// Takes answers in, which are counted in the tally or about to be.
    #[inline]
    pub fn answer(&self, place: u32, answers: u64, now: Moment, knee: f64, gain: f64) {
        let seen = &self.seen[place as usize];
        seen.store(seen.load(Relaxed).wrapping_add(answers), Relaxed);
        let queue = self.queue(place);
        queue.rise_to(queue.load(now, knee) + answers as f64 * gain, now, knee);
    }

    /// Takes one answer in, where the load at `now` is known.
    #[inline]
    pub fn answer_at(&self, place: u32, load: f64, now: Moment, knee: f64, gain: f64) {
        let seen = &self.seen[place as usize];
        seen.store(seen.load(Relaxed).wrapping_add(1), Relaxed);
        self.queue(place).rise_to(load + gain, now, knee);
    }
}
