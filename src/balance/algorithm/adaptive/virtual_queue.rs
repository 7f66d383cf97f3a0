//! One member's virtual queue: what choices read and move, between two reports.
//!
//! The load q that we believe in falls as the member works: at its capacity µ while q is above the knee c, more and
//! more slowly below. In the coordinate x = q − c (above) or x = 4c·(1 − (c/q)^¼) (below) this is x' = −µ: a straight
//! line in time, x = y − µt, so the state between reports is one number. Below the knee q falls as q' = −µ·(q/c)^(5/4), nearly
//! exponentially; it never reaches 0, so idle members stay ordered by how long they have been idle. (The exponential
//! itself would do as well; this one needs no transcendental function to be read.)
//!
//! The queues of a farm stand in one row ([`Slab`]), eight to five lines of the cache, of which a choice in a large farm reads
//! three to compare: that is the time that its sample takes to arrive from memory. What only the chosen one needs, and what only
//! small farms keep, is on the other two.
//!
//! Everything is an atomic on its own and changed by plain stores. A choice that reads while a report writes may see the
//! numbers of two moments mixed; it then errs for this one answer by what happened in between. Of two answers to the
//! same member in the same nanoseconds one may be missing in x; then `seen` misses it too, is behind the tally, and the
//! next choice that would give this member takes it in.

use std::array::from_fn;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::super::super::ahead::want;
use super::super::super::gauge::AtomicF64;
use super::super::super::moment::Moment;
use super::super::pair::Pair;
use super::curve::{ease, load_at, load_of, prices, x_of};
use super::present::{Loads, Present};

/// What a farm believes in.
#[derive(Debug)]
pub struct Drive {
    /// c, in the farm's unit of load.
    pub knee: AtomicF64,
    /// g, the load of one answer, in the farm's unit of load.
    pub gain: AtomicF64,
    /// The load up to which workers can be counted on to be free, in the farm's unit of load.
    pub free: AtomicF64,
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
        let zero = || AtomicF64::new(0.0);
        let (idle, free, known) = (zero(), zero(), AtomicU64::new(0));
        Self { knee: one(), gain: one(), unit: one(), free, idle, known }
    }
}

/// Members whose queues stand together.
pub const EIGHT: usize = 8;

/// The virtual queues of eight members. See the module's head. Loads are in the farm's unit, time is in nanoseconds since
/// the slab's epoch.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Queues {
    /// y, with all answers so far; not a number while [`Present`] knows more.
    pub(super) y: [AtomicF64; EIGHT],
    /// µ: what x loses in a nanosecond.
    pub(super) fall: [AtomicF64; EIGHT],
    /// What q + g is multiplied by to be compared.
    factor: [AtomicF64; EIGHT],
    /// The loads at one moment, if [`Present`] keeps them.
    pub(super) load: [AtomicF64; EIGHT],
    /// The backends' tallies up to which answers are in the queues.
    seen: [AtomicU64; EIGHT],
}

impl Default for Queues {
    /// Queues that stand still, until they are set.
    fn default() -> Self {
        let number = |value: f64| from_fn(|_| AtomicF64::new(value));
        let seen = from_fn(|_| AtomicU64::new(0));
        Self { y: number(0.0), fall: number(0.0), factor: number(1.0), load: number(0.0), seen }
    }
}

/// Two queues, each of the group of a number and at its place there.
#[derive(Debug, Clone, Copy)]
pub struct Two<'a>([(&'a Queues, (usize, usize)); 2]);

impl<'a> Two<'a> {
    /// Neighbours: those of the `pair`-th pair of `queues`, which are the group of this number.
    #[inline(always)]
    pub fn of(queues: &'a Queues, group: usize, pair: usize) -> Self {
        Self([(queues, (group, 2 * pair)), (queues, (group, 2 * pair + 1))])
    }

    /// By their groups' numbers and their places there.
    #[inline(always)]
    pub fn places(self) -> [(usize, usize); 2] {
        self.0.map(|(_, place)| place)
    }

    /// x of both.
    #[inline(always)]
    pub fn x(self, terms: &Terms) -> Pair {
        self.read(|queues| &queues.y) - self.read(|queues| &queues.fall) * Pair::splat(terms.time)
    }

    /// What is compared of them, if they have these loads and each gets one answer more.
    #[inline(always)]
    pub fn measure(self, loads: Pair, terms: &Terms) -> Pair {
        let prices = prices(loads + Pair::splat(terms.gain), Pair::splat(terms.ease));
        prices * self.read(|queues| &queues.factor)
    }

    #[inline(always)]
    fn read(self, row: impl Fn(&Queues) -> &[AtomicF64; EIGHT]) -> Pair {
        Pair::new(self.0.map(|(queues, (_, lane))| row(queues)[lane].get()))
    }
}

/// What a choice compares by: when it is, as the slab counts, the knee, the load of one answer, and what no load at all
/// counts where workers are free.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    time: f64,
    pub(super) knee: f64,
    gain: f64,
    ease: f64,
}

/// One member's virtual queue.
#[derive(Debug, Clone, Copy)]
pub struct Queue<'a> {
    slab: &'a Slab,
    queues: &'a Queues,
    place: usize,
}

impl Queue<'_> {
    /// µ, a second; 0 while it is not known.
    pub fn capacity(&self) -> f64 {
        self.fall() * 1e9
    }

    /// The load believed in at `now`.
    pub fn load(&self, now: Moment, knee: f64) -> f64 {
        load_of(self.y() - self.fall() * self.slab.time(now), knee)
    }

    fn fall(&self) -> f64 {
        self.queues.fall[self.place % EIGHT].get()
    }

    fn y(&self) -> f64 {
        let y = self.queues.y[self.place % EIGHT].get();
        if y.is_nan() {
            self.slab.present.y(&self.slab.queues, self.place, |moment| self.slab.time_of(moment))
        } else {
            y
        }
    }

    /// What is compared, if it has `load` and gets one more answer.
    pub fn measure_of(&self, load: f64, gain: f64, free: f64) -> f64 {
        let [price, _] = prices(Pair::splat(load + gain), Pair::splat(ease(free))).to_array();
        price * self.queues.factor[self.place % EIGHT].get()
    }

    /// Has `load` at a time.
    #[inline]
    fn stand_at(&self, load: f64, time: f64, knee: f64) {
        self.queues.y[self.place % EIGHT].set(x_of(load, knee) + self.fall() * time);
    }
}

/// A clock that is set back by more than this, in nanoseconds, was set; by less, another thread had read it before.
const SET_BACK: u64 = 1_000_000_000;

/// The virtual queues of a farm, in the order of its learner's members.
#[derive(Debug, Default)]
pub struct Slab {
    queues: Box<[Queues]>,
    count: usize,
    /// When the first of them was set, and when the last one: nanoseconds since the epoch.
    first: AtomicU64,
    last: AtomicU64,
    present: Present,
}

impl Slab {
    /// Makes one anew: of each place, which one of `old` it was, if it was there.
    pub fn from_old(old: &Self, places: impl ExactSizeIterator<Item = Option<usize>> + Clone) -> Self {
        let copy = |of: &AtomicU64| AtomicU64::new(of.load(Relaxed));
        let new = Self {
            queues: (0..places.len().div_ceil(EIGHT)).map(|_| Queues::default()).collect(),
            count: places.len(),
            first: copy(&old.first),
            last: copy(&old.last),
            present: Present::new(places.len()),
        };
        if !old.present.is_none() {
            new.begin();
        }
        // Nobody's are never the least.
        let room = new.queues.len() * EIGHT;
        (new.len()..room)
            .for_each(|place| new.queues[place / EIGHT].factor[place % EIGHT].set(f64::INFINITY));
        for (place, before) in places.enumerate() {
            if let Some(from) = before.and_then(|before| old.get(before)) {
                let (to, from_lane, to_lane) = (new.queue(place as u32), from.place % EIGHT, place % EIGHT);
                to.queues.y[to_lane].set(from.y());
                to.queues.fall[to_lane].set(from.fall());
                to.queues.factor[to_lane].set(from.queues.factor[from_lane].get());
                to.queues.seen[to_lane].store(from.queues.seen[from_lane].load(Relaxed), Relaxed);
            }
        }
        new
    }

    /// Somebody has reported: loads at the present moment are kept from now on.
    pub fn begin(&self) {
        self.present.begin();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Asks for what tells where the queues are.
    pub fn want(&self) {
        want(&self.queues);
    }

    /// Asks for all queues: those of a farm that is looked at as a whole.
    pub fn want_all(&self) {
        let is_kept = !self.present.is_none();
        for queues in &self.queues {
            want_group(queues);
            if is_kept {
                want(&queues.load);
            }
        }
    }

    /// Asks for a queue and those that stand with it.
    #[inline]
    pub fn want_group(&self, place: usize) {
        if let Some(queues) = self.queues.get(place / EIGHT) {
            want_group(queues);
        }
    }

    /// The queue at this place, if there is one.
    pub fn get(&self, place: usize) -> Option<Queue<'_>> {
        (place < self.len()).then(|| self.queue(place as u32))
    }

    /// The queue at this place, which must be one.
    #[inline]
    pub fn queue(&self, place: u32) -> Queue<'_> {
        Queue { slab: self, queues: &self.queues[place as usize / EIGHT], place: place as usize }
    }

    /// The two at these places, each by its group of eight and its place there.
    #[inline(always)]
    pub fn two(&self, places: [(usize, usize); 2]) -> Two<'_> {
        Two(places.map(|place| (&self.queues[place.0], place)))
    }

    /// The eight that stand together as the `group`-th of such.
    #[inline(always)]
    pub fn group(&self, group: usize) -> &Queues {
        &self.queues[group]
    }

    /// A moment as queues count it. A clock that jumps back stands still here.
    #[inline]
    fn time(&self, now: Moment) -> f64 {
        self.time_of(now.nanos().max(self.last.load(Relaxed)))
    }

    /// The same of nanoseconds since the epoch.
    #[inline]
    fn time_of(&self, now: u64) -> f64 {
        // Signed, for that is one instruction.
        now.saturating_sub(self.first.load(Relaxed)) as i64 as f64
    }

    /// The loads at `now`, if they are kept: those of a small farm.
    #[inline]
    pub fn present(&self, now: Moment, drive: &Drive) -> Option<Loads<'_>> {
        let kept = self.present.kept(&self.queues)?;
        let now = now.nanos().max(self.last.load(Relaxed));
        if !self.present.is_of(now) {
            self.present.bring(&self.queues, now, drive.knee.get(), |moment| self.time_of(moment));
        }
        Some(kept)
    }

    /// What a choice at `now` compares by.
    #[inline]
    pub fn terms(&self, now: Moment, drive: &Drive) -> Terms {
        Terms {
            time: self.time(now),
            knee: drive.knee.get(),
            gain: drive.gain.get(),
            ease: ease(drive.free.get()),
        }
    }

    /// The tally up to which answers are in the load.
    pub fn seen(&self, place: usize) -> u64 {
        self.seen_of(place).load(Relaxed)
    }

    #[inline(always)]
    fn seen_of(&self, place: usize) -> &AtomicU64 {
        &self.queues[place / EIGHT].seen[place % EIGHT]
    }

    /// Sets everything, at a report or when the farm's beliefs change. `rate`: µ, a second; `answers`: the tally that
    /// `load` includes. Called under the engine's lock.
    pub fn set(&self, place: usize, rate: f64, factor: f64, load: (f64, f64), answers: u64, now: Moment) {
        self.come_to(now.nanos());
        let (queue, (load, knee)) = (self.queue(place as u32), load);
        queue.queues.fall[place % EIGHT].set(rate * 1e-9);
        queue.queues.factor[place % EIGHT].set(factor);
        queue.stand_at(load, self.time(now), knee);
        self.present.set(&self.queues, place, load);
        self.seen_of(place).store(answers, Relaxed);
    }

    /// Time goes on, or back: then everybody stands where it stood.
    fn come_to(&self, now: u64) {
        if self.first.load(Relaxed) == 0 {
            self.first.store(now, Relaxed);
        }
        let last = self.last.load(Relaxed);
        let (first, back) = (self.first.load(Relaxed), last.saturating_sub(now));
        if back > SET_BACK {
            // The time that there is from the first moment on must not be less than none.
            let change = (last - first) as f64 - (now - first.min(now)) as f64;
            for place in 0..self.len() {
                let queue = self.queue(place as u32);
                queue.queues.y[place % EIGHT].set(queue.y() - queue.fall() * change);
            }
            self.first.store(first.min(now), Relaxed);
            self.present.forget();
        }
        if back == 0 || back > SET_BACK {
            self.last.store(now, Relaxed);
        }
    }

    /// Answers that others gave this backend (another farm, another thread) and that are not in the load yet. Behind by
    /// wrapping: another thread has taken its answer in and is about to count it.
    #[inline]
    pub fn missed(&self, place: u32, tally: u64) -> Option<u64> {
        let missed = tally.wrapping_sub(self.seen(place as usize));
        (missed as i64 > 0).then_some(missed)
    }

    /// Takes answers in, which are counted in the tally or about to be, of a queue that measures so much with one more.
    #[inline]
    pub fn answer(&self, place: u32, answers: u64, measure: f64, terms: &Terms) {
        let seen = self.seen_of(place as usize);
        seen.store(seen.load(Relaxed).wrapping_add(answers), Relaxed);
        let queue = self.queue(place);
        let factor = queue.queues.factor[place as usize % EIGHT].get();
        let more = answers.wrapping_sub(1) as i64 as f64;
        let load = load_at(measure / factor, terms.ease);
        // Unless it is beyond what numbers can say; then it stays where it is.
        if load.is_finite() {
            queue.stand_at(load + more * terms.gain, terms.time, terms.knee);
        }
    }

    /// The same of a queue whose load at the present moment is kept, as [`present`](Self::present) gave it.
    #[inline]
    pub fn answer_now(&self, present: Loads<'_>, place: u32, answers: u64, terms: &Terms) {
        let (seen, place) = (self.seen_of(place as usize), place as usize);
        seen.store(seen.load(Relaxed).wrapping_add(answers), Relaxed);
        let load = present.get(place) + answers as i64 as f64 * terms.gain;
        if load.is_finite() {
            self.queues[place / EIGHT].y[place % EIGHT].set(f64::NAN);
            present.set(place, load);
        }
    }
}

/// Asks for what is read of eight queues.
#[inline]
fn want_group(queues: &Queues) {
    want(&queues.y);
    want(&queues.fall);
    want(&queues.factor);
    want(&queues.seen);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::measure;
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_unix(Duration::from_millis(1_795_000_000_000 + millis))
    }

    fn slab(count: usize) -> Slab {
        Slab::from_old(&Slab::default(), vec![None; count].into_iter())
    }

    #[test]
    fn work_is_done_as_time_goes_by_at_full_speed_above_the_knee() {
        let slab = slab(1);
        slab.set(0, 2.0, 1.0, (30.0, 4.0), 0, at(0));
        let load = |millis| slab.queue(0).load(at(millis), 4.0);
        for (millis, left) in [(0, 30.0), (1, 29.998), (500, 29.0), (10_000, 10.0), (13_000, 4.0)] {
            assert!((load(millis) - left).abs() < 1e-9, "{left}: {}", load(millis));
        }
        // q' = -µ (q/c)^(5/4) below: (c/q)^(1/4) grows by µ/4c a second.
        let root = 1.0 + 20.0 * 2.0 / 16.0;
        assert!((load(33_000) - 4.0 / f64::powi(root, 4)).abs() < 1e-9, "{}", load(33_000));
        assert!((slab.queue(0).capacity() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn an_answer_adds_to_the_load_whenever_it_comes() {
        let (slab, drive) = (slab(2), Drive::default());
        drive.knee.set(4.0);
        for start in [30.0, 3.9, 0.01] {
            slab.set(1, 2.0, 0.3, (start, 4.0), 0, at(0));
            for millis in [700, 5_300, 60_000, 86_400_000] {
                let load = || slab.queue(1).load(at(millis), 4.0);
                let (before, terms) = (load(), slab.terms(at(millis), &drive));
                slab.answer(1, 1, measure(&slab, 1, &terms), &terms);
                assert!((load() - before - 1.0).abs() < 1e-6, "{start}, {millis}: {before} {}", load());
                slab.answer(1, 3, measure(&slab, 1, &terms), &terms);
                assert!((load() - before - 4.0).abs() < 1e-6, "{start}, {millis}: {before} {}", load());
            }
            assert_eq!((slab.missed(1, 16), slab.missed(1, 17), slab.missed(1, 15)), (None, Some(1), None));
        }
    }

    #[test]
    fn a_clock_that_is_set_back_moves_nobody() {
        let slab = slab(2);
        slab.set(0, 2.0, 1.0, (30.0, 4.0), 0, at(1_000_000));
        let load = |place, millis| slab.queue(place).load(at(millis), 4.0);
        assert_eq!(load(0, 1_000), 30.0, "it stands still");
        slab.set(1, 2.0, 1.0, (20.0, 4.0), 0, at(1_000));
        assert_eq!((load(0, 1_000).round(), load(1, 1_000).round()), (30.0, 20.0));
        assert_eq!((load(0, 3_000).round(), load(1, 3_000).round()), (26.0, 16.0), "and goes on from there");
        // Another thread has read the clock a little earlier.
        slab.set(1, 2.0, 1.0, (20.0, 4.0), 0, at(900));
        assert_eq!((load(0, 3_000).round(), load(1, 3_000).round()), (26.0, 16.0));
    }

    #[test]
    fn whoever_stayed_is_what_it_was_wherever_it_stands() {
        let before = slab(9);
        (0..9).for_each(|place| before.set(place, 1.0, 1.0, (place as f64, 1.0), place as u64, at(0)));
        let after = Slab::from_old(&before, vec![Some(8), None, Some(3)].into_iter());
        let load = |place| after.queue(place).load(at(0), 1.0).round();
        assert_eq!((after.len(), load(0), load(2), after.seen(0)), (3, 8.0, 3.0, 8));
        assert!(after.get(3).is_none());
    }
}
