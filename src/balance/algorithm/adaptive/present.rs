//! The loads of a small farm's members at one moment.
//!
//! Queries that come together are chosen for at one moment, and what a load is then need not be worked out for each of them:
//! loads are brought to a moment when the first choice of that moment comes, and a choice adds to one of them. Only when
//! time goes on is a queue's number y made of its load again. While it is not, y is no number. A choice whose clock is
//! behind, as another thread's may be, is made at the moment that somebody else has brought loads to.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::super::super::gauge::AtomicF64;
use super::super::pair::Pair;
use super::super::panel::LOOK_AT_ALL;
use super::curve::{load_of, x_of};
use super::virtual_queue::{EIGHT, Queues};

/// Loads by place.
#[derive(Debug, Clone, Copy)]
pub struct Loads<'a>(&'a [Queues]);

impl Loads<'_> {
    /// The load of a place.
    #[inline(always)]
    pub fn get(&self, place: usize) -> f64 {
        self.0[place / EIGHT].load[place % EIGHT].get()
    }

    /// Two loads, each by the number of its eight and its place there.
    #[inline(always)]
    pub fn two(&self, places: [(usize, usize); 2]) -> Pair {
        Pair::new(places.map(|(eight, lane)| self.0[eight].load[lane].get()))
    }

    /// Sets the load of a place.
    #[inline(always)]
    pub fn set(&self, place: usize, load: f64) {
        self.0[place / EIGHT].load[place % EIGHT].set(load);
    }
}

/// Whether the loads of a slab's members are kept, and of when they are: from the first report on; never in a large slab, of
/// whose members a choice looks at few.
#[derive(Debug, Default)]
pub struct Present {
    is_large: bool,
    is_kept: AtomicBool,
    /// When: nanoseconds since the epoch; 0 if never.
    moment: AtomicU64,
    /// The knee then.
    knee: AtomicF64,
}

impl Present {
    /// Of so many members.
    pub fn new(members: usize) -> Self {
        Self { is_large: members > LOOK_AT_ALL, ..Self::default() }
    }

    /// Whether there are none: the members are too many, or nobody has reported.
    #[inline]
    pub fn is_none(&self) -> bool {
        !self.is_kept.load(Relaxed)
    }

    /// The loads of these queues, if they are kept.
    #[inline]
    pub fn kept<'a>(&self, queues: &'a [Queues]) -> Option<Loads<'a>> {
        (!self.is_none()).then_some(Loads(queues))
    }

    /// Whether loads are those of this moment, in nanoseconds since the epoch, or of a later one.
    #[inline]
    pub fn is_of(&self, moment: u64) -> bool {
        moment <= self.moment.load(Relaxed)
    }

    /// Brings all loads to a moment, which is so much time since the slab's epoch; `time` tells that of another moment.
    pub fn bring(&self, queues: &[Queues], moment: u64, knee: f64, time: impl Fn(u64) -> f64) {
        let (before, now) = (time(self.moment.load(Relaxed)), time(moment));
        for queues in queues {
            for (lane, load) in queues.load.iter().enumerate() {
                let (mut y, fall) = (queues.y[lane].get(), queues.fall[lane].get());
                if y.is_nan() {
                    y = x_of(load.get(), knee) + fall * before;
                    queues.y[lane].set(y);
                }
                load.set(load_of(y - fall * now, knee));
            }
        }
        self.knee.set(knee);
        self.moment.store(moment, Relaxed);
    }

    /// Forgets the moment; whoever's y is no number must have got one before.
    pub fn forget(&self) {
        self.moment.store(0, Relaxed);
    }

    /// Begins to keep loads, of a farm that is not too large.
    pub fn begin(&self) {
        self.is_kept.store(!self.is_large, Relaxed);
    }

    /// Sets the load of a place, if it is kept.
    #[inline]
    pub fn set(&self, queues: &[Queues], place: usize, load: f64) {
        if let Some(loads) = self.kept(queues) {
            loads.set(place, load);
        }
    }

    /// What y of a place is whose load alone is known.
    pub fn y(&self, queues: &[Queues], place: usize, time: impl Fn(u64) -> f64) -> f64 {
        let Some(loads) = self.kept(queues) else { return f64::NAN };
        let fall = queues[place / EIGHT].fall[place % EIGHT].get();
        x_of(loads.get(place), self.knee.get()) + fall * time(self.moment.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::super::moment::Moment;
    use super::super::super::super::random::{Random, SplitMix};
    use super::super::tests::measure as measure_of;
    use super::super::virtual_queue::{Drive, Slab};
    use super::*;

    /// A slab of so many members.
    fn slab(count: usize) -> Slab {
        Slab::from_old(&Slab::default(), vec![None; count].into_iter())
    }

    #[test]
    fn a_farm_whose_loads_are_kept_believes_what_one_does_whose_loads_are_not() {
        let (small, large, drive) = (slab(10), slab(LOOK_AT_ALL + 1), Drive::default());
        drive.knee.set(4.0);
        let mut random = SplitMix::new(7);
        let mut millis = 1_795_000_000_000u64;
        assert!(small.present(Moment::ZERO, &drive).is_none(), "nobody has reported");
        let begun = Moment::from_unix(Duration::from_millis(millis));
        [&small, &large].iter().for_each(|slab| slab.set(0, 1.0, 1.0, (3.0, 4.0), 0, begun));
        [&small, &large].iter().for_each(|slab| slab.begin());
        for step in 0..20_000u64 {
            let (place, turn) = (random.below(10), random.below(97));
            let mut set = |millis| {
                let (load, rate) = (random.unit() * 20.0, random.unit() * 9.0);
                let now = Moment::from_unix(Duration::from_millis(millis));
                for slab in [&small, &large] {
                    slab.set(place, rate, 0.5 + rate, (load, 4.0), step, now);
                }
            };
            match turn {
                // The clock is set back between two reports.
                0 => {
                    set(millis);
                    millis -= 60_000;
                    set(millis);
                }
                1..10 => set(millis),
                10..40 => millis += random.below(3000) as u64,
                _ => {
                    let now = Moment::from_unix(Duration::from_millis(millis));
                    let present = small.present(now, &drive).expect("ten are few");
                    assert!(large.present(now, &drive).is_none(), "and more are not");
                    let terms = large.terms(now, &drive);
                    let both = [(place / EIGHT, place % EIGHT); 2];
                    let measure = measure_of(&large, place, &terms);
                    let kept = small.two(both).measure(Pair::splat(present.get(place)), &terms).to_array()[0];
                    assert!((kept / measure - 1.0).abs() < 1e-6, "step {step}: {kept} for {measure}");
                    let answers = 1 + random.below(3) as u64;
                    small.answer_now(present, place as u32, answers, &terms);
                    large.answer(place as u32, answers, measure, &terms);
                    assert_eq!(small.seen(place), large.seen(place));
                }
            }
            let now = Moment::from_unix(Duration::from_millis(millis));
            let load = |slab: &Slab| slab.queue(place as u32).load(now, 4.0);
            assert!((load(&small) - load(&large)).abs() < 1e-6 * (1.0 + load(&large)), "step {step}");
        }
    }

    #[test]
    fn whoever_stays_takes_what_it_was_given_along() {
        let (before, drive) = (slab(3), Drive::default());
        let at = |seconds: u64| Moment::from_unix(Duration::from_secs(1_795_000_000 + seconds));
        before.begin();
        (0..3).for_each(|place| before.set(place, 1.0, 1.0, (9.0, 1.0), 0, at(0)));
        let present = before.present(at(2), &drive).expect("three are few");
        before.answer_now(present, 1, 5, &before.terms(at(2), &drive));
        let after = Slab::from_old(&before, [Some(1), Some(0)].into_iter());
        let load = |place, seconds| after.queue(place).load(at(seconds), 1.0).round();
        assert_eq!([load(0, 2), load(1, 2), load(0, 5), load(1, 5)], [12.0, 7.0, 9.0, 4.0]);
    }
}
